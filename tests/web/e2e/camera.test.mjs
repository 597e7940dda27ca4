// The camera, and streams from it: a fake one that plays the portrait, a refused one, a missing one.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
before(async () => (server = await serve()));
after(() => server?.close());

describe('a camera that plays', () => {
  let browser;
  before(async () => (browser = await launch({ camera: 'clip' })));
  after(() => browser?.close());

  test('a stream answers frame by frame: one in flight, one pass each, the rest dropped', async () => {
    const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
    const seen = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const before = await recognizer.counters();
      const stream = recognizer.stream(camera.video);
      const answers = [];
      for await (const answer of stream) {
        answers.push(answer);
        if (answers.length === 10) break;
      }
      const after = await recognizer.counters();
      const stats = stream.stats;
      const again = await stream.next();
      camera.stop();
      camera.stop();
      return { answers, stats, passes: after.passes - before.passes, again, isOff: camera.video.srcObject === null };
    });
    assert.equal(seen.passes, 10);
    assert.equal(seen.stats.answered, 10);
    assert.ok(seen.stats.seen >= seen.stats.answered + seen.stats.dropped, JSON.stringify(seen.stats));
    assert.ok(seen.stats.fps > 0);
    assert.equal(seen.again.done, true);
    assert.ok(seen.isOff);
    const { length } = seen.answers[0].window;
    // A busy machine takes longer than the window's two seconds.
    const filled = seen.answers.map(({ window }) => window.filled);
    assert.deepEqual(filled.slice(0, 2), [1, 2]);
    assert.ok(
      filled.every((count, index) => count <= Math.min(index + 1, length)),
      `${filled}`,
    );
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a stream ends with its camera, with stop and with dispose', async () => {
    const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
    const ends = await page.evaluate(async () => {
      const ends = [];
      const endings = {
        camera: (_stream, camera) => camera.stop(),
        stop: (stream) => stream.stop(),
        dispose: () => recognizer.dispose(),
      };
      for (const [name, end] of Object.entries(endings)) {
        const camera = await cliper.openCamera();
        const stream = recognizer.stream(camera.video);
        let answers = 0;
        for await (const _ of stream) if (++answers === 2) setTimeout(() => end(stream, camera));
        ends.push(name);
        camera.stop();
      }
      return ends;
    });
    assert.deepEqual(ends, ['camera', 'stop', 'dispose']);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a stream ends with the film, and a film that does not play is `video-failed`', async () => {
    const { page, close } = await openLibrary(browser, server, { device: 'cpu' });
    const [answered, failed] = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const recorder = new MediaRecorder(camera.video.srcObject);
      const pieces = [];
      recorder.ondataavailable = ({ data }) => pieces.push(data);
      recorder.start();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      camera.stop();
      const film = document.createElement('video');
      film.muted = true;
      film.src = URL.createObjectURL(new Blob(pieces));
      await film.play();
      const stream = recognizer.stream(film);
      for await (const _ of stream);
      const broken = document.createElement('video');
      broken.src = URL.createObjectURL(new Blob(['no film']));
      return [
        stream.stats.answered,
        await failure(async () => {
          for await (const _ of recognizer.stream(broken));
        }),
      ];
    });
    assert.ok(answered > 0);
    assertFailure(assert, failed, 'video-failed');
    await close();
  });

  test('a hidden page asks for nothing', async () => {
    const { page, close } = await openLibrary(browser, server, { device: 'cpu' });
    const [hidden, shown] = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      document.body.append(camera.video);
      let isHidden = true;
      Object.defineProperty(document, 'hidden', { get: () => isHidden });
      const before = await recognizer.counters();
      const stream = recognizer.stream(camera.video);
      const next = stream.next();
      await new Promise((resolve) => setTimeout(resolve, 700));
      const hidden = (await recognizer.counters()).passes - before.passes;
      isHidden = false;
      await next;
      stream.stop();
      camera.stop();
      return [hidden, (await recognizer.counters()).passes - before.passes];
    });
    assert.deepEqual([hidden, shown], [0, 1]);
    await close();
  });

  test('giving up while the camera opens is aborted, and leaves it off', async () => {
    const { page, close } = await openLibrary(browser, server);
    const [before, during, tracks] = await page.evaluate(async () => {
      const tracks = [];
      const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (asked) => {
        const stream = await getUserMedia(asked);
        tracks.push(...stream.getTracks());
        return stream;
      };
      const before = await failure(() => cliper.openCamera({ signal: AbortSignal.abort() }));
      const controller = new AbortController();
      const during = failure(() => cliper.openCamera({ signal: controller.signal }));
      controller.abort();
      await during;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return [before, await during, tracks.map(({ readyState }) => readyState)];
    });
    assertFailure(assert, before, 'aborted');
    assertFailure(assert, during, 'aborted');
    assert.deepEqual(tracks, ['ended']);
    await close();
  });

  test('a camera that another program holds is `camera-busy`', async () => {
    const { page, close } = await openLibrary(browser, server);
    const failed = await page.evaluate(() => {
      // No fake camera can be busy: the browser's own error is raised in its place.
      navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException('Could not start video source', 'NotReadableError'));
      return failure(() => cliper.openCamera());
    });
    assertFailure(assert, failed, 'camera-busy');
    await close();
  });
});

describe('no camera', () => {
  for (const [camera, code] of [
    ['denied', 'camera-denied'],
    ['missing', 'camera-missing'],
  ]) {
    test(`${camera}: ${code}`, async () => {
      const browser = await launch({ camera });
      try {
        const { page } = await openLibrary(browser, server);
        assertFailure(assert, await page.evaluate(() => failure(() => cliper.openCamera())), code);
      } finally {
        await browser.close();
      }
    });
  }

  test('no access to cameras at all: camera-unsupported', async () => {
    const browser = await launch();
    try {
      const { page } = await openLibrary(browser, server);
      const failed = await page.evaluate(() => {
        // As on pages without https.
        Object.defineProperty(navigator, 'mediaDevices', { value: undefined });
        return failure(() => cliper.openCamera());
      });
      assertFailure(assert, failed, 'camera-unsupported');
    } finally {
      await browser.close();
    }
  });
});
