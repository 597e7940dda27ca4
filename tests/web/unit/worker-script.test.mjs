// The worker as bundlers and pages meet it: one script that starts nobody, itself least of all, and imports nothing.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

test('the worker is one script, which makes no worker and imports nothing', async () => {
  const script = await readFile(new URL('../../../www/dist/src/worker/worker.js', import.meta.url), 'utf8');
  assert.doesNotMatch(script, /\bimport\s*["'{*(]|\bfrom\s*["']/);
  // A bundler that finds the worker's own address in the worker would bundle it into itself, without an end.
  assert.doesNotMatch(script, /new\s+(Shared)?Worker\b/);
  // The glue of all five engines.
  assert.equal(script.split('"./cliper_bg.js"').length - 1, 5);
});
