import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromFiles } from '../../../www/dist/src/page/local-bundle.js';

const text = async (response) => [response.status, await response.text()];

test('files are found by their names, and others are not there', async () => {
  const bytes = new TextEncoder().encode('weights');
  const { manifest, fetch } = fromFiles({ 'model.json': new Blob(['{}']), 'a b.safetensors': bytes });
  assert.deepEqual(await text(await fetch(manifest)), [200, '{}']);
  assert.deepEqual(await text(await fetch(new URL('a b.safetensors', manifest))), [200, 'weights']);
  assert.equal((await fetch(new URL('c.safetensors', manifest))).status, 404);
});

test('a list of files, as a visitor chooses them, is a bundle too', async () => {
  const { manifest, fetch } = fromFiles([new File(['{"files":[]}'], 'model.json')]);
  assert.deepEqual(await text(await fetch(manifest)), [200, '{"files":[]}']);
});

test('any name is a name: of letters that addresses read otherwise, and of what lists have', async () => {
  const names = ['a#b', 'a?b', 'a%20b', 'length'];
  const { manifest, fetch } = fromFiles({
    'model.json': new Blob(['{}']),
    ...Object.fromEntries(names.map((name) => [name, new Blob([name])])),
  });
  for (const name of names)
    assert.deepEqual(await text(await fetch(new URL(encodeURIComponent(name), manifest))), [200, name]);
});

test('without a manifest, or with something else in the list, the reason is said', () => {
  assert.throws(() => fromFiles({}), { code: 'missing-file', message: /model\.json/ });
  assert.throws(() => fromFiles([new Uint8Array(3)]), { code: 'invalid-argument', message: /Files/ });
});
