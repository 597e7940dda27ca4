// A static server for the browser tests: www/dist, isolated as `cargo pkg demo` serves it, and paths of a test's own.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const DIST = fileURLToPath(new URL('../../www/dist/', import.meta.url));

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'Cache-Control': 'no-store',
};

/**
 * Serves `folder` on a free port. `own` maps a path to bytes, or to a function of the response, its headers and the request; it may change later.
 * `isIsolated`: with the headers that let a page share memory among its workers. `headers`: more of them, on every answer.
 * `delay`: milliseconds before every answer, as a network has them.
 * `/blank.html` is an empty page for tests that only want the library.
 */
export async function serve({ folder = DIST, own = new Map(), isIsolated = true, headers = {}, delay = 0 } = {}) {
  own.set('/blank.html', Buffer.from('<!doctype html><title>blank</title><link rel="icon" href="data:,">'));
  const server = createServer(async (request, response) => {
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = normalize(decodeURIComponent(pathname.endsWith('/') ? `${pathname}index.html` : pathname));
    const head = {
      ...(isIsolated ? ISOLATED : {}),
      ...headers,
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
    };
    const mine = own.get(path);
    if (typeof mine === 'function') return mine(response, head, request);
    try {
      const bytes = mine ?? (await readFile(join(folder, path)));
      response.writeHead(200, head).end(bytes);
    } catch {
      response.writeHead(404, ISOLATED).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    own,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An answer that names its length, sends half of it and breaks off. */
export function half(bytes) {
  return (response, head) => {
    response.writeHead(200, { ...head, 'Content-Length': bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2), () => setTimeout(() => response.destroy(), 50));
  };
}
