// The worker as bundlers meet it: one script that starts nobody, itself least of all, and imports nothing while it runs.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const IMPORT = /^(?:import|export)\s[^;]*?from\s*'([^']+)'|^import\s*'([^']+)'/gm;

/** A script and all that it imports, by address. */
async function graph(url, found = new Map()) {
  if (found.has(url.href)) return found;
  const text = await readFile(url, 'utf8');
  found.set(url.href, text);
  for (const [, named, bare] of text.matchAll(IMPORT)) await graph(new URL(named ?? bare, url), found);
  return found;
}

test('no file of the worker makes a worker or imports at run time', async () => {
  const files = await graph(new URL('../../../www/dist/src/worker/worker.js', import.meta.url));
  const names = [...files.keys()].map((url) => url.split('/src/')[1]);
  for (const name of ['worker/engine.js', 'wasm/webgpu/cliper.js', 'wasm/cpu-threads/cliper.js'])
    assert.ok(names.includes(name), names.join());
  for (const [url, text] of files) {
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    // A bundler that finds the worker's own address in the worker would bundle it into itself, without an end.
    assert.doesNotMatch(code, /new\s+(Shared)?Worker\b/, url);
    assert.doesNotMatch(code, /\bimport\s*\(/, url);
  }
});
