// Faces in the browser: the detector loaded when asked for, the crop that the native tool cuts, streams, and odd frames.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { DIST, serve } from '../server.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const LOSSLESS = 'tests/fixtures/face/lossless.png';
const WEIGHTS = '/src/detector/detector.safetensors';

let server;
let browser;
before(async () => {
  server = await serve({ own: new Map([['/pictures/lossless.png', await readFile(root + LOSSLESS)]]) });
  browser = await launch({ camera: 'clip' });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** The library on the CPU, with `paste`: a frame with the portrait at places, `side` pixels each, as a canvas. */
async function open(options = {}, from = browser) {
  const opened = await openLibrary(from, server, { device: 'cpu', ...options });
  await opened.page.evaluate(async () => {
    const portrait = await createImageBitmap(await sample());
    globalThis.paste = (width, height, side, places) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(120 125 130)';
      context.fillRect(0, 0, width, height);
      for (const [x, y] of places) context.drawImage(portrait, x, y, side, side);
      return canvas;
    };
  });
  return opened;
}

function assertSound({ state, faces, waiting }) {
  assert.equal(state === 'no-face', faces.length === 0 && waiting === 0);
  for (const { box, keyPoints, expressions, top, window, score } of faces) {
    assert.ok(box.width > 0 && box.height > 0 && score > 0 && score <= 1);
    assert.ok([box, ...Object.values(keyPoints)].every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)));
    assert.ok(Math.abs(expressions.reduce((sum, { score }) => sum + score, 0) - 1) < 1e-3);
    assert.ok(expressions.some(({ name, score }) => name === top.name && score === top.score));
    assert.ok(window.filled >= 1 && window.filled <= window.length);
  }
}

test('a large photo is read part by part: the same answer, and the engine never holds it', async () => {
  // Its parts can be made to fail.
  const breakable = `import '/src/worker/worker.js';
  new BroadcastChannel('parts').onmessage = ({ data }) => {
    globalThis.original ??= OffscreenCanvasRenderingContext2D.prototype.getImageData;
    let left = data;
    OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...place) {
      if (left-- === 0) throw new RangeError('out of memory');
      return globalThis.original.apply(this, place);
    };
    new BroadcastChannel('told').postMessage(0);
  };`;
  server.own.set('/breakable.js', (response, head) =>
    response.writeHead(200, { ...head, 'Content-Type': 'text/javascript' }).end(breakable),
  );
  const { page, complaints, close } = await openLibrary(browser, server);
  const seen = await page.evaluate(async () => {
    const recognizer = await cliper.ExpressionRecognizer.create({
      device: 'cpu',
      faces: true,
      createWorker: () => new Worker('/breakable.js', { type: 'module' }),
    });
    const portrait = await createImageBitmap(await sample());
    const photo = new OffscreenCanvas(4000, 3000);
    const context = photo.getContext('2d');
    context.fillStyle = 'rgb(120 125 130)';
    context.fillRect(0, 0, 4000, 3000);
    for (const [x, y] of [
      [300, 200],
      [2200, 1300],
    ])
      context.drawImage(portrait, x, y, 1400, 1400);
    const bytes = async () => (await recognizer.counters()).memoryBytes;
    await recognizer.recognize(portrait);
    const before = await bytes();
    const faces = (await recognizer.recognize(photo)).faces;
    const square = await recognizer.recognize(photo, { faces: false });
    const after = await bytes();
    const breakAt = (part) =>
      new Promise((resolve) => {
        new BroadcastChannel('told').onmessage = resolve;
        new BroadcastChannel('parts').postMessage(part);
      });
    await breakAt(3);
    const failed = await failure(() => recognizer.recognize(photo));
    const again = (await recognizer.recognize(photo)).faces;
    // A clip's frame is read whole.
    const whole = (await recognizer.recognizeClip([photo], { frames: 1 })).faces;
    const wholeSquare = await recognizer.recognizeClip([photo], { frames: 1, faces: false });
    recognizer.dispose();
    const plain = ({ top, box }) => ({ top, box });
    return {
      grown: after - before,
      faces: faces.map(plain),
      again: again.map(plain),
      whole: whole.map(plain),
      square: square.top,
      wholeSquare: wholeSquare.top,
      failed,
    };
  });
  assert.equal(seen.faces.length, 2);
  for (const [index, { top, box }] of seen.faces.entries()) {
    const whole = seen.whole.find((face) => Math.abs(face.box.x - box.x) < 0.03 * box.width);
    assert.ok(whole && Math.abs(whole.box.y - box.y) < 0.03 * box.width, `face ${index}`);
    assert.equal(top.name, whole.top.name);
    assert.ok(Math.abs(top.score - whole.top.score) < 0.02);
  }
  assert.deepEqual(seen.faces, seen.again);
  assert.deepEqual(seen.square, seen.wholeSquare);
  assert.ok(seen.grown < 8e6, `${seen.grown} bytes for a photo of 48,000,000`);
  assert.match(seen.failed.message, /out of memory/);
  assert.deepEqual(complaints, []);
  await close();
});

describe('pictures', () => {
  test('the detector is fetched when faces are first asked for, once, and whole pictures stay as they are', async () => {
    const { page, complaints, close } = await open();
    const requests = [];
    page.on('request', (request) => requests.push(new URL(request.url()).pathname));
    const fetched = () => requests.filter((path) => path.startsWith('/src/detector/')).length;
    const whole = await page.evaluate(async () =>
      (await recognizer.recognize(await sample())).expressions.map(({ score }) => score),
    );
    assert.equal(fetched(), 0);
    const faces = await page.evaluate(async () => {
      const picture = await sample();
      return Promise.all([
        recognizer.recognize(picture, { faces: true }),
        recognizer.recognize(picture, { faces: { maxFaces: 1 } }),
      ]);
    });
    assert.equal(fetched(), 2, 'its model.json and its weights');
    for (const answer of faces) {
      assertSound(answer);
      assert.deepEqual(
        [answer.state, answer.faces.length, answer.faces[0].id, answer.faces[0].top.name],
        ['recognized', 1, 0, 'happiness'],
      );
      for (const time of Object.values(answer.timings)) assert.ok(time >= 0);
    }
    assert.deepEqual(
      await page.evaluate(async () =>
        (await recognizer.recognize(await sample())).expressions.map(({ score }) => score),
      ),
      whole,
    );
    assert.equal(fetched(), 2);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('created with faces, it comes with the start, and the progress ends at its total', async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    const { progress, state, whole } = await page.evaluate(async () => {
      const progress = [];
      const onProgress = (step) => progress.push(step);
      globalThis.recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true, onProgress });
      const { state } = await recognizer.recognize(await sample());
      return { progress, state, whole: await recognizer.recognize(await sample(), { faces: false }) };
    });
    assert.equal(state, 'recognized');
    assert.ok(whole.top.name && !('faces' in whole));
    assert.deepEqual(
      progress.map(({ loaded }) => loaded),
      progress.map(({ loaded }) => loaded).toSorted((a, b) => a - b),
    );
    assert.deepEqual([progress.at(-1).stage, progress.at(-1).loaded], ['ready', progress.at(-1).total]);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('the native tool and the browser find and cut the same face', async () => {
    const { page, close } = await open({ faces: true });
    const { faces } = await page.evaluate(() => recognizer.recognize('/pictures/lossless.png'));
    const native = execFileSync('cargo', ['pkg', 'classify', LOSSLESS, '--face', '--json'], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ faces: wanted }] = JSON.parse(native);
    assert.deepEqual([faces.length, wanted.length], [1, 1]);
    const [found] = faces;
    const [{ prediction, ...face }] = wanted;
    const near = (a, b, tolerance, what) => assert.ok(Math.abs(a - b) <= tolerance, `${what}: ${a} and ${b}`);
    for (const side of ['x', 'y', 'width', 'height']) near(found.box[side], face.box[side], 0.01, side);
    for (const [name, { x, y }] of Object.entries(face.keyPoints)) {
      near(found.keyPoints[name].x, x, 0.01, name);
      near(found.keyPoints[name].y, y, 0.01, name);
    }
    const similarities = ({ expressions }) =>
      new Map(expressions.flatMap(({ descriptors }) => descriptors).map(({ text, similarity }) => [text, similarity]));
    const here = similarities(found);
    for (const [text, similarity] of similarities(prediction)) near(here.get(text), similarity, 1e-3, text);
    assert.equal(found.top.name, prediction.top.name);
    await close();
  });

  test("places are in the whole picture's pixels, also where only a box of it is looked at", async () => {
    const { page, close } = await open({ faces: true });
    const [both, right, turned] = await page.evaluate(async () => {
      const frame = paste(640, 300, 200, [
        [40, 40],
        [400, 60],
      ]);
      const box = { x: 330, y: 0, width: 310, height: 300 };
      return [
        await recognizer.recognize(frame),
        await recognizer.recognize(frame, { box }),
        await recognizer.recognize(frame, { faces: { maxFaces: 1 } }),
      ];
    });
    const lefts = (answer) => answer.faces.map(({ box }) => box.x).toSorted((a, b) => a - b);
    assert.equal(both.faces.length, 2);
    assert.equal(right.faces.length, 1);
    assert.ok(Math.abs(lefts(right)[0] - lefts(both)[1]) < 8, `${lefts(right)} ${lefts(both)}`);
    assert.ok(Math.abs(lefts(both)[1] - lefts(both)[0] - 360) < 8);
    assert.equal(turned.faces.length, 1);
    await close();
  });

  test('a detector that does not come, or comes damaged, is an error with its code; the next call tries again', async () => {
    const { page, complaints, close } = await open();
    const weights = await readFile(DIST + WEIGHTS);
    const ask = (options) =>
      page.evaluate((options) => failure(async () => recognizer.recognize(await sample(), options)), options);
    server.own.set(
      WEIGHTS,
      weights.map((byte, index) => (index === 50_000 ? byte ^ 1 : byte)),
    );
    assertFailure(assert, await ask({ faces: true }), 'damaged-file');
    server.own.set(WEIGHTS, (response) => response.writeHead(404).end());
    assertFailure(assert, await ask({ faces: true }), 'missing-file');
    const create = (options) =>
      page.evaluate(
        (options) => failure(() => cliper.ExpressionRecognizer.create({ device: 'cpu', ...options })),
        options,
      );
    assertFailure(assert, await create({ faces: true }), 'missing-file');
    assertFailure(assert, await create({ faces: true, detector: '/src/model/model.json' }), 'invalid-bundle');
    assertFailure(assert, await create({ faces: { maxFaces: 0 } }), 'invalid-argument');
    server.own.delete(WEIGHTS);
    assert.equal(await ask(undefined), 'nothing was thrown', 'whole pictures need no detector');
    assert.equal(await ask({ faces: true }), 'nothing was thrown');
    for (const faces of [{ zoom: 9 }, { many: 3 }, 'all'])
      assertFailure(assert, await ask({ faces }), 'invalid-argument');
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe('frames', () => {
  test('no face, half a face, thirty faces, a face of 12 pixels: every one has an answer', async () => {
    const { page, complaints, close } = await open({ faces: { zoom: 2 } });
    const answers = await page.evaluate(async () => {
      const grid = Array.from({ length: 30 }, (_, index) => [(index % 6) * 105 + 5, Math.floor(index / 6) * 95 + 2]);
      const frames = {
        nothing: paste(640, 480, 10, []),
        dot: paste(1, 1, 1, []),
        half: paste(320, 240, 200, [[-110, 20]]),
        twelve: paste(24, 24, 14, [[5, 5]]),
        far: paste(640, 480, 12, [[300, 200]]),
        thirty: paste(640, 490, 90, grid),
      };
      const answers = {};
      for (const [name, frame] of Object.entries(frames)) {
        await recognizer.reset();
        for (let index = 0; index < 4; index++) answers[name] = await recognizer.push(frame, { timestamp: index * 33 });
      }
      return answers;
    });
    for (const answer of Object.values(answers)) assertSound(answer);
    for (const name of ['nothing', 'dot', 'far']) assert.equal(answers[name].state, 'no-face', name);
    assert.equal(answers.thirty.faces.length, 8, 'the most that are followed');
    assert.equal(answers.thirty.state, 'warming-up');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('one pass a face and look; what hardly changed, was answered already or need not be seen costs none', async () => {
    const { page, close } = await open({ faces: true, window: 4 });
    const seen = await page.evaluate(async () => {
      const frame = paste(640, 300, 200, [
        [40, 40],
        [400, 60],
      ]);
      const counted = [await recognizer.counters()];
      const states = [];
      for (let index = 0; index < 30; index++)
        states.push((await recognizer.push(frame, { timestamp: index * 33 })).state);
      counted.push(await recognizer.counters());
      const last = await recognizer.push(frame, { timestamp: 29 * 33 });
      counted.push(await recognizer.counters());
      for (let index = 30; index < 60; index++)
        await recognizer.push(frame, { timestamp: index * 33, faces: { minChange: 0 } });
      counted.push(await recognizer.counters());
      const back = await recognizer.push(frame, { timestamp: 0 });
      return { counted, states, last, back };
    });
    const [start, still, repeated, moved] = seen.counted;
    assert.equal(still.passes - start.passes, 2);
    assert.ok(still.skippedPasses >= 12 && still.skippedPasses <= 16, `${still.skippedPasses}`);
    assert.equal(still.detections, 10);
    assert.deepEqual(repeated, { ...still, repeatedFrames: 1 });
    assert.ok(moved.passes - still.passes >= 14 && moved.passes - still.passes <= 18, `${moved.passes}`);
    assert.equal(moved.memoryBytes, still.memoryBytes, 'a frame allocates nothing that stays');
    assert.deepEqual([seen.states[0], seen.states.at(-1)], ['warming-up', 'recognized']);
    assert.deepEqual(
      seen.last.faces.map(({ id }) => id),
      [0, 1],
    );
    assert.deepEqual(
      seen.back.faces.map(({ id }) => id),
      [2, 3],
      'a time that goes back starts over',
    );
    assert.equal(seen.back.state, 'warming-up');
    await close();
  });

  test('a budget is kept, and nobody waits for ever', async () => {
    const { page, close } = await open({ faces: { maxPerFrame: 1, minChange: 0 } });
    const { waiting, filled, deferred } = await page.evaluate(async () => {
      const frame = paste(640, 320, 150, [
        [5, 5],
        [165, 5],
        [325, 5],
        [485, 5],
      ]);
      const waiting = [];
      let faces = [];
      for (let index = 0; index < 24; index++) {
        const answer = await recognizer.push(frame, { timestamp: index * 33 });
        waiting.push(answer.waiting);
        faces = answer.faces;
      }
      return {
        waiting,
        filled: faces.map(({ window }) => window.filled),
        deferred: (await recognizer.counters()).deferredFaces,
      };
    });
    assert.deepEqual(waiting.slice(0, 5), [3, 2, 1, 0, 0]);
    assert.ok(Math.max(...filled) - Math.min(...filled) <= 1, `${filled}`);
    assert.ok(deferred >= 6);
    await close();
  });
});

describe('streams', () => {
  test("a camera's face keeps its id, in a box on every frame; fewer looks than frames", async () => {
    const { page, complaints, close } = await open({ faces: true, window: 4 });
    const { answers, stats, passes, skipped, detections } = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const before = await recognizer.counters();
      const stream = recognizer.stream(camera.video);
      const answers = [];
      for await (const answer of stream) {
        answers.push(answer);
        if (answers.length === 45) break;
      }
      const after = await recognizer.counters();
      camera.stop();
      return {
        answers,
        stats: stream.stats,
        passes: after.passes - before.passes,
        skipped: after.skippedPasses,
        detections: after.detections,
      };
    });
    for (const answer of answers) assertSound(answer);
    const seen = answers.filter(({ faces }) => faces.length === 1);
    assert.ok(seen.length >= 40, `${seen.length}`);
    assert.equal(new Set(seen.map(({ faces }) => faces[0].id)).size, 1);
    assert.equal(answers.at(-1).state, 'recognized');
    assert.equal(answers.at(-1).faces[0].top.name, 'happiness');
    assert.ok(passes + skipped < 45 && passes >= 4, `${passes} passes, ${skipped} skipped`);
    assert.ok(detections <= 45);
    assert.equal(stats.answered, 45);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('whole frames keep to the rate, and the rest is skipped, not dropped', async () => {
    const { page, close } = await open();
    const [slow, all, refused] = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const look = async (rate) => {
        const stream = recognizer.stream(camera.video, { rate });
        let answers = 0;
        for await (const _ of stream) if (++answers === 6) break;
        return stream.stats;
      };
      const stats = [await look(4), await look(1000)];
      const refused = await failure(() => recognizer.stream(camera.video, { rate: 0 }));
      camera.stop();
      return [...stats, refused];
    });
    assert.ok(slow.skipped > all.skipped, JSON.stringify([slow, all]));
    assert.equal(slow.answered, 6);
    assertFailure(assert, refused, 'invalid-argument');
    await close();
  });

  test('a film played twice is seen twice: its own times go back, and its faces start over', async () => {
    const { page, complaints, close } = await open({ faces: true });
    const rounds = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const recorder = new MediaRecorder(camera.video.srcObject);
      const pieces = [];
      recorder.ondataavailable = ({ data }) => pieces.push(data);
      recorder.start();
      await new Promise((resolve) => setTimeout(resolve, 1200));
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      camera.stop();
      const film = document.createElement('video');
      film.muted = true;
      film.src = URL.createObjectURL(new Blob(pieces));
      const rounds = [];
      for (let round = 0; round < 2; round++) {
        await film.play();
        const ids = [];
        for await (const { faces } of recognizer.stream(film)) ids.push(...faces.map(({ id }) => id));
        rounds.push([...new Set(ids)]);
      }
      return rounds;
    });
    const [first, second] = rounds;
    assert.ok(first.length > 0 && second.length > 0, JSON.stringify(rounds));
    assert.ok(
      second.every((id) => !first.includes(id)),
      JSON.stringify(rounds),
    );
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe('devices', () => {
  test('WebGPU and the CPU agree on every face, batched or not', async () => {
    const software = await launch({ webgpu: true });
    try {
      const look = async (device) => {
        const { page, close } = await open({ device, faces: { maxPerFrame: 2 } }, software);
        const answer = await page.evaluate(async () => {
          const frame = paste(640, 300, 200, [
            [40, 40],
            [400, 60],
          ]);
          return {
            device: recognizer.info.device,
            alone: await recognizer.recognize(frame),
            pushed: await recognizer.push(frame, { timestamp: 0 }),
          };
        });
        await close();
        return answer;
      };
      const [cpu, webgpu] = [await look('cpu'), await look('webgpu')];
      assert.deepEqual([cpu.device, webgpu.device], ['cpu', 'webgpu']);
      for (const kind of ['alone', 'pushed']) {
        assert.equal(cpu[kind].faces.length, 2);
        for (const [index, face] of cpu[kind].faces.entries()) {
          const other = webgpu[kind].faces[index];
          assert.ok(Math.abs(face.box.x - other.box.x) < 0.01 && face.id === other.id);
          for (const [at, { name, score }] of face.expressions.entries()) {
            assert.equal(other.expressions[at].name, name);
            assert.ok(
              Math.abs(other.expressions[at].score - score) < 0.01,
              `${kind} ${name}: ${score} and ${other.expressions[at].score}`,
            );
          }
        }
      }
    } finally {
      await software.close();
    }
  });
});
