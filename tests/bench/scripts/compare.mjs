// Gives the same pictures to the expression nets of human and face-api and to ours, in one page of Chromium, and
// prints every score and the milliseconds: node compare.mjs PICTURES NPM BUNDLE (see pkg-build/src/commands/compare.rs).

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';

const [pictures, npm, bundle] = process.argv.slice(2);
const HUMAN = join(npm, '@vladmandic/human');
const FACE_API = join(npm, '@vladmandic/face-api');
const TFJS = join(npm, '@tensorflow/tfjs-backend-wasm');

/** Everything that the page may ask for, by its address. */
async function files() {
  const own = new Map();
  const add = async (address, ...path) => own.set(address, await readFile(join(...path)));
  await add('/human/human.js', HUMAN, 'dist/human.esm.js');
  for (const name of ['emotion.json', 'emotion.bin']) await add(`/human/${name}`, HUMAN, 'models', name);
  await add('/face-api/face-api.js', FACE_API, 'dist/face-api.esm.js');
  for (const name of ['face_expression_model-weights_manifest.json', 'face_expression_model.bin']) {
    await add(`/face-api/${name}`, FACE_API, 'model', name);
  }
  for (const name of await readdir(join(TFJS, 'dist'))) {
    if (name.endsWith('.wasm')) await add(`/tfjs/${name}`, TFJS, 'dist', name);
  }
  for (const name of await readdir(bundle)) await add(`/bundle/${name}`, bundle, name);
  for (const name of await readdir(pictures)) await add(`/pictures/${name}`, pictures, name);
  return own;
}

/** Runs in the page: an answer of `run`, and the milliseconds that it took. */
async function timed(run) {
  const from = performance.now();
  const scores = await run();
  return { scores: [...scores], ms: performance.now() - from };
}

/** Runs in the page: `{ name, expressions, ask(levels) }` of the other nets, where `ask` gives scores and milliseconds. */
async function openPeers(side) {
  /** One thread each, as ours has: the page is isolated, and TensorFlow.js would take more. */
  const start = async (tf) => {
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    tf.setWasmPaths('/tfjs/');
    await tf.setBackend('wasm');
    await tf.ready();
  };

  const { Human } = await import('/human/human.js');
  const { tf } = new Human({ debug: false });
  await start(tf);
  const emotion = await tf.loadGraphModel('/human/emotion.json');
  const [, , input] = emotion.inputs[0].shape;
  // The steps of human's src/gear/emotion.ts, on a picture in 0..1.
  const human = (levels) => {
    const picture = tf.tensor4d(
      [...levels].flatMap((level) => Array(3).fill(level / 255)),
      [1, side, side, 3],
    );
    return timed(async () => {
      const answer = tf.tidy(() => {
        const resized = tf.image.resizeBilinear(picture, [input, input], false);
        const grey = tf.sum(tf.mul(resized, [0.2989, 0.587, 0.114]), 3, true);
        return emotion.execute(tf.mul(tf.sub(grey, 0.5), 2));
      });
      const scores = await answer.data();
      tf.dispose([answer, picture]);
      return scores;
    });
  };

  const faceapi = await import('/face-api/face-api.js');
  await start(faceapi.tf);
  const { faceExpressionNet } = faceapi.nets;
  await faceExpressionNet.loadFromUri('/face-api');
  const names = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];
  const faceApi = (levels) => {
    const picture = faceapi.tf.tensor4d(
      [...levels].flatMap((level) => Array(3).fill(level)),
      [1, side, side, 3],
    );
    return timed(async () => {
      const found = await faceExpressionNet.predictExpressions(picture);
      faceapi.tf.dispose(picture);
      const [scores] = [found].flat();
      return names.map((name) => scores[name]);
    });
  };

  return [
    {
      name: 'human',
      expressions: ['anger', 'disgust', 'fear', 'happiness', 'sadness', 'surprise', 'neutral'],
      ask: human,
    },
    {
      name: 'face-api',
      expressions: ['neutral', 'happiness', 'sadness', 'anger', 'fear', 'disgust', 'surprise'],
      ask: faceApi,
    },
  ];
}

/** Runs in the page: the same of ours, which answers in `labels`, where there are some. */
async function openOurs(side, labels) {
  const recognizer = await cliper.ExpressionRecognizer.create({
    model: '/bundle/model.json',
    device: 'cpu',
    cache: false,
    labels,
  });
  const ask = async (levels) => {
    const rgba = new Uint8ClampedArray([...levels].flatMap((level) => [level, level, level, 255]));
    const { expressions, timings } = await recognizer.recognize(new ImageData(rgba, side, side));
    return { scores: expressions.map(({ score }) => score), ms: timings.engine };
  };
  return { name: recognizer.info.model, expressions: recognizer.info.expressions, ask };
}

/** Runs in the page: asks every net for some pictures, the nets by turns, so that load meets them alike. */
async function askAll({ name, labels, from, to, side }) {
  globalThis.peers ??= await openPeers(side);
  globalThis.nets ??= new Map();
  if (!nets.has(labels)) nets.set(labels, [...peers, await openOurs(side, labels)]);
  const own = nets.get(labels);
  const bytes = new Uint8Array(await (await fetch(`/pictures/${name}`)).arrayBuffer());
  const answers = own.map(({ expressions }) => ({ expressions, scores: [], ms: [] }));
  for (let index = from; index < to; index++) {
    const levels = bytes.subarray(index * side * side, (index + 1) * side * side);
    for (const [net, { ask }] of own.entries()) {
      const { scores, ms } = await ask(levels);
      answers[net].scores.push(scores);
      answers[net].ms.push(ms);
    }
  }
  return answers;
}

const sum = (own, prefix, names) => names.reduce((bytes, name) => bytes + own.get(prefix + name).length, 0);
const version = async (folder) => JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')).version;

const own = await files();
const { side, sets } = JSON.parse(own.get('/pictures/request.json'));
const manifest = JSON.parse(own.get('/bundle/model.json'));
const server = await serve({ own });
const browser = await launch();
try {
  const { page, complaints } = await openLibrary(browser, server);
  page.setDefaultTimeout(0);
  await page.evaluate(`Object.assign(globalThis, { timed: ${timed}, openPeers: ${openPeers}, openOurs: ${openOurs} })`);
  // Pages in chunks: progress on standard error, and no answer of one call grows without bound.
  const CHUNK = 250;
  const found = [];
  for (const { name, count, set } of sets) {
    const labels = manifest.labels?.find((labels) => labels.name === set)?.name;
    const all = [];
    for (let from = 0; from < count; from += CHUNK) {
      const to = Math.min(count, from + CHUNK);
      const answers = await page.evaluate(askAll, { name, labels, from, to, side });
      answers.forEach(({ expressions, scores, ms }, net) => {
        all[net] ??= { expressions, scores: [], ms: [] };
        all[net].scores.push(...scores);
        all[net].ms.push(...ms);
      });
      console.error(`${name}: ${to} of ${count} pictures`);
    }
    found.push(all);
  }
  if (complaints.length > 0) throw new Error(complaints.join('\n'));
  const facts = [
    { version: await version(HUMAN), bytes: sum(own, '/human/', ['emotion.json', 'emotion.bin']) },
    {
      version: await version(FACE_API),
      bytes: sum(own, '/face-api/', ['face_expression_model-weights_manifest.json', 'face_expression_model.bin']),
    },
    {
      version: 'here',
      bytes: manifest.files
        .filter(({ role }) => role !== 'card' && role !== 'labels')
        .reduce((bytes, file) => bytes + file.bytes, own.get('/bundle/model.json').length),
    },
  ];
  const names = await page.evaluate(() => [...nets.values()][0].map(({ name }) => name));
  const answered = names.map((name, index) => ({ name, ...facts[index], answers: found.map((all) => all[index]) }));
  console.log(JSON.stringify({ browser: `Chromium ${browser.version()}`, tfjs: await version(TFJS), nets: answered }));
} finally {
  await browser.close();
  await server.close();
}
