// What elements show is looked at as they show it: other sizes than their pictures', late loads, a film's first frame.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
let page;
let complaints;

before(async () => {
  server = await serve();
  browser = await launch();
  ({ page, complaints } = await openLibrary(browser, server, { device: 'cpu' }));
  // The portrait small at the upper right of a picture, so that a crop in other pixels than its own misses it.
  const wide = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(640, 480);
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(120 120 120)';
    context.fillRect(0, 0, 640, 480);
    context.drawImage(await createImageBitmap(await sample()), 350, 20, 200, 200);
    const bytes = async (type) => [...new Uint8Array(await (await canvas.convertToBlob({ type })).arrayBuffer())];
    return { png: await bytes('image/png'), jpeg: await bytes('image/jpeg') };
  });
  server.own.set('/wide.png', Buffer.from(wide.png));
  const jpeg = Buffer.from(wide.jpeg);
  server.own.set('/dense.jpg', Buffer.concat([jpeg.subarray(0, 2), resolution(144, 320, 240), jpeg.subarray(2)]));
  await page.evaluate(() => {
    /** The whole answer, with the best expression's score and the faces' places in whole pixels. */
    globalThis.look = async (picture) => {
      const box = { x: 350, y: 20, width: 200, height: 200 };
      const { top } = await recognizer.recognize(picture, { box });
      const { faces } = await recognizer.recognize(picture, { faces: true });
      return [top.name, top.score.toFixed(3), faces.map(({ box: { x, y } }) => [Math.round(x / 4), Math.round(y / 4)])];
    };
    globalThis.shown = async (attributes) => {
      const image = Object.assign(new Image(), attributes);
      await image.decode();
      return image;
    };
  });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** An EXIF segment with a resolution and the size that goes with it at 72 an inch: browsers lay the picture out so. */
function resolution(perInch, width, height) {
  const entries = [
    [0x011a, 5, 1, 74],
    [0x011b, 5, 1, 82],
    [0x0128, 3, 1, 2 << 16],
    [0x8769, 4, 1, 90],
  ];
  const sizes = [
    [0xa002, 4, 1, width],
    [0xa003, 4, 1, height],
  ];
  const directory = (list) => {
    const bytes = Buffer.alloc(2 + 12 * list.length + 4);
    bytes.writeUInt16BE(list.length);
    list.forEach(([tag, type, count, value], index) => {
      const at = 2 + 12 * index;
      bytes.writeUInt16BE(tag, at);
      bytes.writeUInt16BE(type, at + 2);
      bytes.writeUInt32BE(count, at + 4);
      bytes.writeUInt32BE(value, at + 8);
    });
    return bytes;
  };
  const head = Buffer.from('MM\0*\0\0\0\x08', 'latin1');
  const first = directory(entries);
  const rational = Buffer.alloc(16);
  for (const at of [0, 8]) {
    rational.writeUInt32BE(perInch, at);
    rational.writeUInt32BE(1, at + 4);
  }
  const gap = Buffer.alloc(74 - head.length - first.length);
  const body = Buffer.concat([Buffer.from('Exif\0\0'), head, first, gap, rational, directory(sizes)]);
  const marker = Buffer.from([0xff, 0xe1, 0, 0]);
  marker.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([marker, body]);
}

test('a picture is cropped by its own pixels, whatever size its element has', async () => {
  const seen = await page.evaluate(async () => {
    const dense = await shown({ src: '/dense.jpg' });
    document.body.insertAdjacentHTML(
      'beforeend',
      '<svg width=320 height=240><image href="/wide.png" width=320 height=240 /></svg>',
    );
    return {
      plain: await look(await shown({ src: '/wide.png' })),
      srcset: await look(await shown({ srcset: '/wide.png 2x' })),
      sizes: await look(await shown({ sizes: '320px', srcset: '/wide.png 640w' })),
      svg: await look(document.querySelector('image')),
      attributes: await look(await shown({ src: '/wide.png', width: 100, height: 400 })),
      dense: await look(dense),
      'dense, as a file': await look(await (await fetch('/dense.jpg')).blob()),
      width: dense.naturalWidth,
    };
  });
  const { plain, width, dense, 'dense, as a file': file, ...others } = seen;
  assert.equal(plain[0], 'happiness');
  assert.equal(plain[2].length, 1);
  for (const [name, answer] of Object.entries(others)) assert.deepEqual(answer, plain, name);
  assert.equal(width, 320, 'the browser lays the dense picture out at half its size');
  // Its pixels went through a JPEG, so that its scores are a little others.
  for (const answer of [dense, file]) assert.deepEqual([answer[0], answer[2]], [plain[0], plain[2]]);
});

test('an image that would load only near the view is loaded', async () => {
  const seen = await page.evaluate(async () => {
    document.body.insertAdjacentHTML(
      'beforeend',
      `<div style="height:20000px"></div><img id=far loading=lazy src="/wide.png?far">
       <div style="display:none"><img id=hidden loading=lazy src="/wide.png?hidden"></div>`,
    );
    const alone = new Image();
    alone.loading = 'lazy';
    alone.src = '/wide.png?alone';
    const pictures = [document.querySelector('#far'), document.querySelector('#hidden'), alone];
    return Promise.all([...pictures, await shown({ src: '/wide.png' })].map(look));
  });
  for (const answer of seen.slice(0, -1)) assert.deepEqual(answer, seen.at(-1));
});

describe('videos', () => {
  before(() =>
    page.evaluate(async () => {
      globalThis.film = URL.createObjectURL(await filmed(12));
      globalThis.open = async (event, attributes = {}) => {
        const video = Object.assign(document.createElement('video'), { muted: true, ...attributes });
        const come = new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
        video.src = film;
        await come;
        return video;
      };
    }),
  );

  test('the first frame is waited for, played or not, in the page or not', async () => {
    const tops = await page.evaluate(async () => {
      const of = async (video) => (await recognizer.recognize(video)).top.name;
      const playing = await open('loadeddata');
      await playing.play();
      const inPage = await open('loadeddata');
      document.body.append(inPage);
      return {
        loadeddata: await of(await open('loadeddata')),
        canplay: await of(await open('canplay')),
        auto: await of(await open('loadeddata', { preload: 'auto' })),
        played: await of(playing),
        inPage: await of(inPage),
      };
    });
    for (const [name, top] of Object.entries(tops)) assert.equal(top, 'happiness', name);
  });

  test('a video without a picture is `invalid-image`, and giving up ends the wait', async () => {
    const [sound, aborted] = await page.evaluate(async () => {
      const silent = document.createElement('video');
      // A second of sound as a WAV.
      const wav = new DataView(new ArrayBuffer(44 + 8000));
      const write = (at, text) => [...text].forEach((letter, index) => wav.setUint8(at + index, letter.charCodeAt(0)));
      write(0, 'RIFF');
      wav.setUint32(4, 36 + 8000, true);
      write(8, 'WAVEfmt ');
      [
        [16, 4],
        [1, 2],
        [1, 2],
        [8000, 4],
        [8000, 4],
        [1, 2],
        [8, 2],
      ].reduce((at, [value, bytes]) => {
        if (bytes === 4) wav.setUint32(at, value, true);
        else wav.setUint16(at, value, true);
        return at + bytes;
      }, 16);
      write(36, 'data');
      wav.setUint32(40, 8000, true);
      const come = new Promise((resolve) => (silent.onloadeddata = resolve));
      silent.src = URL.createObjectURL(new Blob([wav], { type: 'audio/wav' }));
      await come;
      const waiting = await open('loadeddata');
      // As if the browser never had a frame in hand.
      waiting.requestVideoFrameCallback = () => 0;
      const { VideoFrame } = globalThis;
      globalThis.VideoFrame = class {
        constructor() {
          throw new DOMException('no frame', 'InvalidStateError');
        }
      };
      const { createImageBitmap } = globalThis;
      globalThis.createImageBitmap = () => Promise.reject(new DOMException('no frame', 'InvalidStateError'));
      const controller = new AbortController();
      const given = failure(() => recognizer.recognize(waiting, { signal: controller.signal }));
      controller.abort();
      const aborted = await given;
      Object.assign(globalThis, { VideoFrame, createImageBitmap });
      return [await failure(() => recognizer.recognize(silent)), aborted];
    });
    assertFailure(assert, sound, 'invalid-image');
    assertFailure(assert, aborted, 'aborted');
  });
});

test('in a worker of the page everything but elements is answered as in the page', async () => {
  server.own.set(
    '/own-worker.js',
    Buffer.from(`
    import { CliperError, ExpressionRecognizer, openCamera } from '/src/index.js';
    const name = async (run) => {
      try {
        const answer = await run();
        return answer?.faces?.map(({ top }) => top.name).join() ?? answer.top.name;
      } catch (error) {
        return error instanceof CliperError ? error.code : String(error);
      }
    };
    const recognizer = await ExpressionRecognizer.create({ device: 'cpu', faces: { maxFaces: 1 } });
    const file = await (await fetch('/demo/portrait.jpg')).blob();
    const bitmap = await createImageBitmap(file);
    const plain = { faces: false };
    const other = new URL('/src/model/model.json', location.href);
    postMessage({
      isSupported: String(ExpressionRecognizer.isSupported()),
      faces: await name(() => recognizer.recognize(bitmap)),
      file: await name(() => recognizer.recognize(file, plain)),
      address: await name(() => recognizer.recognize('/demo/portrait.jpg', plain)),
      url: await name(() => recognizer.recognize(new URL('/demo/portrait.jpg', location.href), plain)),
      frame: await name(() => recognizer.recognize(new VideoFrame(bitmap, { timestamp: 0 }), plain)),
      push: await name(() => recognizer.push(bitmap, plain)),
      clip: await name(() => recognizer.recognizeClip([bitmap, bitmap], plain)),
      model: await name(async () =>
        (await ExpressionRecognizer.create({ device: 'cpu', model: other })).recognize(bitmap)),
      film: await name(() => recognizer.recognizeClip(new Blob(['film']))),
      camera: await name(() => openCamera()),
      stream: await name(() => recognizer.stream(bitmap)),
    });
  `),
  );
  const seen = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const worker = new Worker('/own-worker.js', { type: 'module' });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
      }),
  );
  const { isSupported, film, camera, stream, ...answers } = seen;
  assert.equal(isSupported, 'true');
  for (const [name, answer] of Object.entries(answers)) assert.equal(answer, 'happiness', name);
  assert.deepEqual([film, camera, stream], ['video-failed', 'camera-unsupported', 'invalid-argument']);
});

test('nothing was left unhandled', () => assert.deepEqual(complaints, []));
