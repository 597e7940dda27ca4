// The size that a picture's first bytes say, of each format, and of bytes that say none.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sizeOfFile } from '../../../www/dist/src/page/picture-size.js';

const of = (...parts) => sizeOfFile(new Blob(parts.map((part) => (typeof part === 'string' ? latin(part) : part))));
const latin = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const big = (...values) => Uint8Array.from(values.flatMap((value) => [value >>> 24, value >>> 16, value >>> 8, value]));

test('each format says its size', async () => {
  const webp = (kind, ...bytes) => of('RIFF\0\0\0\0WEBP', kind, '\0\0\0\0', Uint8Array.from(bytes));
  const found = {
    png: await of('\x89PNG\r\n\x1a\n', big(13), 'IHDR', big(20_000, 300)),
    gif: await of('GIF89a', Uint8Array.of(0x2c, 1, 0xc8, 0)),
    bmp: await of('BM', new Uint8Array(16), Uint8Array.of(0x2c, 1, 0, 0, 0x38, 255, 255, 255)),
    extended: await webp('VP8X', 0, 0, 0, 0, 0x2b, 1, 0, 0xc7, 0, 0),
    lossless: await webp('VP8L', 0x2f, 0x2b, 0xc1, 0x31, 0),
    lossy: await webp('VP8 ', 0, 0, 0, 0x9d, 1, 0x2a, 0x2c, 1, 0xc8, 0),
  };
  assert.deepEqual(found, {
    png: { width: 20_000, height: 300 },
    gif: { width: 300, height: 200 },
    bmp: { width: 300, height: 200 },
    extended: { width: 300, height: 200 },
    lossless: { width: 300, height: 200 },
    lossy: { width: 300, height: 200 },
  });
});

test("a JPEG's size stands behind its metadata, however it is filled up", async () => {
  const portrait = await readFile(fileURLToPath(new URL('../../../www/demo/portrait.jpg', import.meta.url)));
  assert.deepEqual(await of(portrait), { width: 224, height: 224 });
  const filled = [portrait.subarray(0, 2), Uint8Array.of(0xff, 0xff, 0xff), portrait.subarray(3)];
  assert.deepEqual(await of(...filled), { width: 224, height: 224 });
});

test('what ends first, or is something else, says none', async () => {
  const portrait = await readFile(fileURLToPath(new URL('../../../www/demo/portrait.jpg', import.meta.url)));
  for (const bytes of [latin(''), latin('\x89PN'), latin('This is a text.'), portrait.subarray(0, 100)])
    assert.equal(await of(bytes), undefined);
});
