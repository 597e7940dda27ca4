// Streams: several of one recognizer, each with windows and faces of its own, and the ways in which a source ends.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch({ camera: 'clip' });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** The library with `video(picture)`, which plays a picture, or grey, with a corner that changes. */
async function open(options) {
  const opened = await openLibrary(browser, server, options);
  await opened.page.evaluate(async () => {
    globalThis.portrait = await createImageBitmap(await sample());
    globalThis.video = async (picture) => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
      const context = canvas.getContext('2d');
      let frame = 0;
      setInterval(() => {
        context.fillStyle = 'rgb(120 120 120)';
        context.fillRect(0, 0, 320, 240);
        if (picture) context.drawImage(picture, 60, 20, 200, 200);
        context.fillStyle = `hsl(${(frame += 7)} 80% 50%)`;
        context.fillRect(0, 0, 4, 4);
      }, 40);
      const video = Object.assign(document.createElement('video'), { muted: true });
      video.srcObject = canvas.captureStream(25);
      await video.play();
      return video;
    };
    /** The first `count` answers of each stream, all running at once. */
    globalThis.together = (streams, count) =>
      Promise.all(
        streams.map(async (stream) => {
          const answers = [];
          for await (const answer of stream) if (answers.push(answer) === count) break;
          return answers;
        }),
      );
  });
  return opened;
}

test('two streams of one recognizer answer for their own videos', async () => {
  const { page, complaints, close } = await open({ device: 'cpu' });
  const { smiling, nobody, alone, filled } = await page.evaluate(async () => {
    const [face, grey] = [await video(portrait), await video()];
    const [smiling, nobody] = await together([recognizer.stream(face), recognizer.stream(grey)], 6);
    const [alone] = await together([recognizer.stream(grey)], 1);
    // A stream's window ends with it, and the page's own frames have another.
    await recognizer.push(portrait, { timestamp: 0 });
    const [again] = await together([recognizer.stream(face)], 2);
    const pushed = await recognizer.push(portrait, { timestamp: 40 });
    return { smiling, nobody, alone, filled: [again[0].window.filled, again[1].window.filled, pushed.window.filled] };
  });
  const happiness = ({ expressions }) => expressions.find(({ name }) => name === 'happiness').score;
  for (const answer of smiling) assert.ok(happiness(answer) > 0.9, JSON.stringify(answer.top));
  for (const answer of nobody) {
    assert.equal(answer.top.name, alone[0].top.name);
    assert.ok(Math.abs(happiness(answer) - happiness(alone[0])) < 0.05, JSON.stringify(answer.top));
  }
  assert.deepEqual(filled, [1, 2, 2]);
  assert.deepEqual(complaints, []);
  await close();
});

test('with faces, each stream lists its own people', async () => {
  const { page, complaints, close } = await open({ device: 'cpu', faces: true });
  const [people, nobody] = await page.evaluate(async () => {
    const [face, grey] = [await video(portrait), await video()];
    const answers = await together([recognizer.stream(face), recognizer.stream(grey)], 5);
    return answers.map((list) => list.map(({ state, faces }) => [state === 'no-face', faces.map(({ id }) => id)]));
  });
  // The detector may need a frame to find a face that has just begun to play.
  assert.deepEqual(people.at(-1), [false, [people.at(-1)[1][0]]]);
  for (const answer of nobody) assert.deepEqual(answer, [true, []]);
  assert.deepEqual(complaints, []);
  await close();
});

test('a stream ends when the last track of its camera does, however it does', async () => {
  const { page, complaints, close } = await open({ device: 'cpu' });
  const ends = await page.evaluate(async () => {
    const endings = {
      stopped: (media) => media.getTracks().forEach((track) => track.stop()),
      'with sound left': (media) => {
        media.addTrack(new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]);
        media.getVideoTracks()[0].stop();
      },
      'taken out': (media) => media.removeTrack(media.getVideoTracks()[0]),
    };
    const ends = [];
    for (const [name, end] of Object.entries(endings)) {
      const camera = await cliper.openCamera();
      const media = camera.video.srcObject;
      let answers = 0;
      for await (const _ of recognizer.stream(camera.video)) if (++answers === 1) setTimeout(() => end(media));
      // One that is over already ends at once.
      for await (const _ of recognizer.stream(camera.video)) answers = NaN;
      ends.push([name, answers >= 1]);
      camera.stop();
    }
    return ends;
  });
  assert.deepEqual(ends, [
    ['stopped', true],
    ['with sound left', true],
    ['taken out', true],
  ]);
  assert.deepEqual(complaints, []);
  await close();
});

test('a browser that takes frame callbacks and calls none still has its frames looked at', async () => {
  const { page, complaints, close } = await open({ device: 'cpu' });
  const [camera, film] = await page.evaluate(async () => {
    const face = await video(portrait);
    face.requestVideoFrameCallback = () => 0;
    const [camera] = await together([recognizer.stream(face)], 2);
    const recorder = new MediaRecorder(face.srcObject, { mimeType: 'video/webm' });
    const pieces = [];
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.start();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const stopped = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.stop();
    await stopped;
    const recorded = Object.assign(document.createElement('video'), { muted: true, loop: true });
    recorded.src = URL.createObjectURL(new Blob(pieces));
    await recorded.play();
    recorded.requestVideoFrameCallback = () => 0;
    const [film] = await together([recognizer.stream(recorded)], 2);
    return [camera, film].map((answers) => answers.map(({ top }) => top.name));
  });
  assert.deepEqual(
    [camera, film],
    [
      ['happiness', 'happiness'],
      ['happiness', 'happiness'],
    ],
  );
  assert.deepEqual(complaints, []);
  await close();
});

test('texts stay on the page: answers cross as numbers, however many texts there are', async () => {
  const { page, complaints, close } = await open();
  const { crossed, known, answers, texts } = await page.evaluate(async () => {
    const crossed = [];
    const createWorker = () => {
      const worker = new Worker('/src/worker/worker.js', { type: 'module' });
      worker.addEventListener('message', ({ data }) => crossed.push(data.answer));
      return worker;
    };
    const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true, createWorker });
    const known = Object.values(recognizer.descriptors).flat();
    const stream = recognizer.stream(await video(portrait));
    const whole = recognizer.stream(await video(portrait), { faces: false });
    crossed.length = 0;
    const answers = await together([stream, whole], 3);
    const again = [await recognizer.recognize(portrait), await recognizer.recognize(portrait, { faces: false })];
    const predictions = [...answers.flat(), ...again].flatMap((answer) => answer.faces ?? [answer]);
    const texts = predictions.map(({ expressions }) =>
      expressions.flatMap(({ descriptors }) => descriptors.map(({ text }) => text)).sort(),
    );
    const plain = JSON.stringify(crossed, (_, value) => (value instanceof Float32Array ? [...value] : value));
    return { crossed: plain, known, answers: answers.length, texts };
  });
  assert.equal(answers, 2);
  assert.ok(texts.length >= 6);
  for (const found of texts) assert.deepEqual(found, known.toSorted());
  assert.match(crossed, /"values":\[/);
  for (const text of known) assert.ok(!crossed.includes(text), text);
  assert.deepEqual(complaints, []);
  await close();
});

test("a video's frame is read as it is, drawn nowhere: the same scores, wherever the part begins", async () => {
  const { page, complaints, close } = await open({ device: 'cpu' });
  const { drawn, seen } = await page.evaluate(async () => {
    const playing = await video(portrait);
    const { transferToImageBitmap } = OffscreenCanvas.prototype;
    let drawn = 0;
    OffscreenCanvas.prototype.transferToImageBitmap = function () {
      drawn++;
      return transferToImageBitmap.call(this);
    };
    playing.pause();
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    canvas.getContext('2d').drawImage(playing, 0, 0);
    const scores = ({ expressions }) => expressions.map(({ score }) => score);
    const seen = [];
    for (const box of [
      undefined,
      { x: 60, y: 20, width: 200, height: 200 },
      { x: 61, y: 21, width: 197, height: 199 },
    ]) {
      const look = async (picture) => scores(await recognizer.recognize(picture, box ? { box } : {}));
      const frame = new VideoFrame(playing, { timestamp: 0 });
      seen.push([await look(playing), await look(frame), await look(canvas)]);
      // Whoever owns a frame keeps it.
      if (frame.displayWidth !== 320) throw new Error('the frame was taken away');
      frame.close();
    }
    return { drawn, seen };
  });
  assert.equal(drawn, 0);
  for (const [video, frame, canvas] of seen) {
    assert.deepEqual(video, canvas);
    assert.deepEqual(frame, canvas);
  }
  assert.deepEqual(complaints, []);
  await close();
});
