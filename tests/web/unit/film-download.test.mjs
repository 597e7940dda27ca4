// A film read whole: its bytes, and the reasons where it can't be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWhole } from '../../../www/dist/src/page/film-download.js';

const URL_ = new URL('http://host/film.webm');
const read = (response, duration = 3, signal = new AbortController().signal) =>
  readWhole(URL_, duration, async () => response, signal);
const pieces = (...list) =>
  new ReadableStream({
    start(controller) {
      for (const piece of list) controller.enqueue(piece);
      controller.close();
    },
  });

test('all bytes come, with their type', async () => {
  const headers = { 'content-type': 'video/webm', 'content-length': '5' };
  const blob = await read(new Response(pieces(Uint8Array.of(1, 2), Uint8Array.of(3, 4, 5)), { headers }));
  assert.equal(blob.type, 'video/webm');
  assert.deepEqual([...new Uint8Array(await blob.arrayBuffer())], [1, 2, 3, 4, 5]);
});

test('one too large is refused, by what the server says or by what comes, and the way out is named', async () => {
  const said = read(new Response(pieces(), { headers: { 'content-length': `${2 ** 30}` } }));
  const half = { byteLength: 2 ** 28 };
  const came = read({ ok: true, status: 200, headers: new Headers(), body: pieces(half, half, half) });
  for (const failed of [said, came]) await assert.rejects(failed, { code: 'video-failed', message: /Accept-Ranges/ });
});

test('one without an end or a length is not read; one with a length is', async () => {
  await assert.rejects(read(new Response(pieces()), Infinity), { code: 'video-failed', message: /`stream`/ });
  const blob = await read(new Response('film', { headers: { 'content-length': '4' } }), Infinity);
  assert.equal(blob.size, 4);
});

test('what breaks off, is not there or is given up says so', async () => {
  const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError('gone')) });
  await assert.rejects(read(new Response(broken)), { code: 'video-failed', message: /half way/ });
  await assert.rejects(read(new Response(null, { status: 404 })), { code: 'missing-file' });
  const controller = new AbortController();
  const endless = read(new Response(new ReadableStream()), 3, controller.signal);
  controller.abort();
  await assert.rejects(endless, { code: 'aborted' });
});
