// Every way to give a picture, and every picture that can't be taken, on the CPU device.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { DIST, serve } from '../server.mjs';

let server;
let elsewhere;
let browser;
let page;
let complaints;

before(async () => {
  const portrait = await readFile(`${DIST}demo/portrait.jpg`);
  server = await serve({
    own: new Map([
      ['/pictures/wide.png', blackPng(20_000, 64)],
      ['/pictures/huge.png', blackPng(20_000, 20_000)],
      ['/pictures/dot.png', blackPng(1, 1)],
      ['/pictures/text.jpg', Buffer.from('This is a text.')],
      ['/pictures/cut.jpg', portrait.subarray(0, 200)],
    ]),
  });
  elsewhere = await serve();
  browser = await launch();
  ({ page, complaints } = await openLibrary(browser, server, { device: 'cpu' }));
});

after(async () => {
  await browser?.close();
  await server?.close();
  await elsewhere?.close();
});

/** A black PNG of one bit a pixel: any size in few bytes. */
function blackPng(width, height) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const check = Buffer.alloc(4);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const rows = Buffer.alloc(height * (1 + Math.ceil(width / 8)));
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

test('one picture gives the same scores, however it is given', async () => {
  const answers = await page.evaluate(async () => {
    const blob = await sample();
    const image = new Image();
    image.src = '/demo/portrait.jpg';
    const bitmap = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    const element = document.createElement('canvas');
    [element.width, element.height] = [bitmap.width, bitmap.height];
    element.getContext('2d').drawImage(bitmap, 0, 0);
    const pictures = {
      blob,
      image,
      bitmap,
      canvas,
      element,
      frame: new VideoFrame(bitmap, { timestamp: 0 }),
      data: canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height),
      url: new URL('/demo/portrait.jpg', location.href),
      address: '/demo/portrait.jpg',
    };
    const answers = {};
    for (const [name, picture] of Object.entries(pictures)) {
      const { expressions } = await recognizer.recognize(picture);
      answers[name] = expressions.map(({ score }) => score);
    }
    // Whoever owns the picture keeps it.
    if (bitmap.width === 0) throw new Error('the bitmap was taken away');
    return answers;
  });
  for (const [name, scores] of Object.entries(answers)) assert.deepEqual(scores, answers.blob, name);
});

test('a box is the same as the part cut out before', async () => {
  const [boxed, cut, whole] = await page.evaluate(async () => {
    const blob = await sample();
    const box = { x: 40, y: 30, width: 120, height: 120 };
    const pictures = [
      recognizer.recognize(blob, { box }),
      recognizer.recognize(await createImageBitmap(blob, box.x, box.y, box.width, box.height)),
      recognizer.recognize(blob),
    ];
    return (await Promise.all(pictures)).map(({ expressions }) => expressions.map(({ score }) => score));
  });
  assert.deepEqual(boxed, cut);
  assert.notDeepEqual(boxed, whole);
});

test('a photo that its camera noted as turned is looked at upright', async () => {
  const [turned, upright, unturned] = await page.evaluate(async () => {
    const bytes = new Uint8Array(await (await sample()).arrayBuffer());
    // An EXIF segment behind the file's first two bytes: big-endian, one entry, orientation (0x112) 6, a quarter turn.
    const exif = [
      0xff, 0xe1, 0, 34, 69, 120, 105, 102, 0, 0, 77, 77, 0, 42, 0, 0, 0, 8, 0, 1, 1, 18, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0,
      0, 0, 0, 0,
    ];
    const photo = new Blob([bytes.subarray(0, 2), Uint8Array.from(exif), bytes.subarray(2)], { type: 'image/jpeg' });
    const shown = new Image();
    shown.src = URL.createObjectURL(photo);
    await shown.decode();
    const canvas = new OffscreenCanvas(shown.naturalWidth, shown.naturalHeight);
    canvas.getContext('2d').drawImage(shown, 0, 0);
    const box = { x: 10, y: 60, width: 140, height: 150 };
    const answers = [
      await recognizer.recognize(photo, { box }),
      await recognizer.recognize(canvas, { box }),
      await recognizer.recognize(await sample(), { box }),
    ];
    return answers.map(({ expressions }) => expressions.map(({ score }) => score));
  });
  assert.deepEqual(turned, upright);
  assert.notDeepEqual(turned, unturned);
});

test("a picture leaves the stream's window alone", async () => {
  const filled = await page.evaluate(async () => {
    const blob = await sample();
    await recognizer.reset();
    const filled = [(await recognizer.push(blob)).window.filled];
    await recognizer.recognize(blob);
    filled.push((await recognizer.push(blob)).window.filled);
    await recognizer.setOptions({ window: 2 });
    filled.push((await recognizer.push(blob)).window);
    await recognizer.reset();
    filled.push((await recognizer.push(blob)).window.filled);
    return filled;
  });
  assert.deepEqual(filled, [1, 2, { filled: 2, length: 2 }, 1]);
});

test('one pixel, and 20,000 in a row, are pictures too', async () => {
  for (const path of ['/pictures/dot.png', '/pictures/wide.png']) {
    const scores = await page.evaluate(
      async (path) => (await recognizer.recognize(path)).expressions.map(({ score }) => score),
      path,
    );
    assert.ok(scores.every(Number.isFinite) && scores.length > 1, path);
  }
});

const REFUSED = {
  'a text that is called a picture': ['not-an-image', () => recognizer.recognize('/pictures/text.jpg')],
  'half a header': ['not-an-image', () => recognizer.recognize('/pictures/cut.jpg')],
  'an empty file': ['not-an-image', () => recognizer.recognize(new Blob([]))],
  'a number': ['not-an-image', () => recognizer.recognize(7)],
  nothing: ['not-an-image', () => recognizer.recognize(null)],
  'a plain object': ['not-an-image', () => recognizer.recognize({})],
  'an element without a picture': ['not-an-image', () => recognizer.recognize(new Image())],
  'an element whose picture failed': [
    'not-an-image',
    () => {
      const image = new Image();
      image.src = '/pictures/text.jpg';
      return recognizer.recognize(image);
    },
  ],
  'a canvas of 0 x 0': [
    'invalid-image',
    () => recognizer.recognize(Object.assign(document.createElement('canvas'), { width: 0, height: 0 })),
  ],
  'a closed bitmap': [
    'invalid-image',
    async () => {
      const bitmap = await createImageBitmap(await sample());
      bitmap.close();
      return recognizer.recognize(bitmap);
    },
  ],
  'a video without a frame': ['invalid-image', () => recognizer.recognize(document.createElement('video'))],
  '20,000 x 20,000 pixels': ['image-too-large', () => recognizer.recognize('/pictures/huge.png')],
  'a box outside': [
    'invalid-argument',
    async () => recognizer.recognize(await sample(), { box: { x: 500, y: 0, width: 9, height: 9 } }),
  ],
  'a time that is none': ['invalid-argument', async () => recognizer.push(await sample(), { timestamp: NaN })],
  'a window of no frames': ['invalid-argument', () => recognizer.setOptions({ window: 0 })],
  'a window of -1 frames': ['invalid-argument', () => recognizer.setOptions({ window: -1 })],
  'more frames than a window can hold': ['invalid-argument', () => recognizer.setOptions({ window: 1_000_000 })],
  'an address of nothing': ['missing-file', () => recognizer.recognize('/pictures/none.png')],
  'an address of no host': ['network', () => recognizer.recognize('http://127.0.0.1:1/picture.png')],
  'no address': ['invalid-argument', () => recognizer.recognize('http://')],
};

for (const [name, [code, run]] of Object.entries(REFUSED)) {
  test(`${name}: ${code}`, async () => {
    assertFailure(assert, await page.evaluate(`failure(${run})`), code);
  });
}

test("another origin's picture without permission: image-protected", async () => {
  const seen = await page.evaluate(async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    return failure(() => recognizer.recognize(image));
  }, `${elsewhere.url}/demo/portrait.jpg`);
  assertFailure(assert, seen, 'image-protected');
});

test('after all that, the recognizer still answers, and nothing was left unhandled', async () => {
  assert.ok((await page.evaluate(async () => (await recognizer.recognize(await sample())).top.score)) > 0);
  assert.deepEqual(complaints, []);
});
