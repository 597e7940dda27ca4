// Downloads of the model, counted in bytes; a large one only after the visitor said yes.

import { CliperError, type CreateOptions } from '../src/index.js';

type Fetch = NonNullable<CreateOptions['fetch']>;

/** Bytes from which a download is asked for. */
const LARGE = 10e6;

/** The visitor did not want the download. */
class Declined extends Error {}

interface ListedFile {
  path: string;
  bytes: number;
  role?: string;
}

/**
 * A `fetch` for `create`: it tells `onBytes` what has come of all that the manifests list, and waits for `ask` before
 * a large model.
 */
export function countedFetch(
  onBytes: (loaded: number, total: number) => void,
  ask: (bytes: number) => Promise<boolean>,
): Fetch {
  let loaded = 0;
  let total = 0;
  return async (url, options) => {
    const response = await fetch(url, options);
    // The engine is compiled while it comes: its stream must stay the browser's own.
    if (!response.ok || !response.body || url.pathname.endsWith('.wasm')) return response;
    if (url.pathname.endsWith('.json')) {
      const files = await listed(response.clone());
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      if (bytes > LARGE && !(await isKept(url, files)) && !(await ask(bytes))) throw new Declined();
      total += bytes;
      return response;
    }
    const counter = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        loaded += piece.byteLength;
        onBytes(loaded, total);
        controller.enqueue(piece);
      },
    });
    return new Response(response.body.pipeThrough(counter), response);
  };
}

/** Whether an error is the visitor's own no. */
export function isDeclined(error: unknown): boolean {
  return error instanceof CliperError && error.cause instanceof Declined;
}

/** The files that a manifest asks for; what is wrong with one is the engine's to say. */
async function listed(manifest: Response): Promise<ListedFile[]> {
  try {
    const { files, weights } = (await manifest.json()) as { files?: ListedFile[]; weights?: ListedFile };
    const all = files ?? (weights ? [weights] : []);
    return all.filter(({ role, bytes }) => Number.isFinite(bytes) && !['card', 'labels', 'text'].includes(role ?? ''));
  } catch {
    return [];
  }
}

/** Whether the largest file is here from an earlier visit. */
async function isKept(manifest: URL, files: readonly ListedFile[]): Promise<boolean> {
  const [largest] = [...files].sort((a, b) => b.bytes - a.bytes);
  if (!largest || !('caches' in globalThis)) return false;
  return (await caches.match(new URL(largest.path, manifest), { ignoreSearch: true })) !== undefined;
}
