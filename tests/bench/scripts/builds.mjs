// Another build of the library beside this one, by turns in one page, on one thread: camera frames with and without faces, and answers in
// 100 expressions of 100 descriptors: node tests/bench/scripts/builds.mjs DIST, the other one's www/dist, after `cargo pkg build`.

import { printComparison } from './two-builds.mjs';

const [other] = process.argv.slice(2);
if (!other) throw new Error('name the other build: node tests/bench/scripts/builds.mjs DIST');
await printComparison(other, compare, { rounds: 40, warmUp: 8 });

async function compare({ rounds, warmUp }) {
  const builds = { other: await import('/other/src/index.js'), own: cliper };
  const middle = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
  const portrait = await createImageBitmap(await sample());

  /** Medians of each build's answers. */
  async function measure(recognizers, next) {
    const times = Object.fromEntries(Object.keys(recognizers).map((build) => [build, { decode: [], total: [] }]));
    for (let round = -warmUp; round < rounds; round++) {
      const picture = await next(round);
      for (const [build, recognizer] of Object.entries(recognizers)) {
        const answer = await recognizer.recognize(picture);
        if (round < 0) continue;
        times[build].decode.push(answer.timings.decode);
        times[build].total.push(answer.timings.total);
      }
    }
    const medians = ({ decode, total }) => ({ decodeMilliseconds: middle(decode), milliseconds: middle(total) });
    const [theirs, ours] = Object.values(times).map(medians);
    return { other: theirs, own: ours, ratio: ours.milliseconds / theirs.milliseconds };
  }

  const create = async (options) => {
    const opened = Object.entries(builds).map(async ([build, { ExpressionRecognizer }]) => [
      build,
      await ExpressionRecognizer.create({ device: 'cpu', ...options }),
    ]);
    return Object.fromEntries(await Promise.all(opened));
  };

  const results = {};
  for (const [width, height] of [
    [640, 480],
    [1920, 1080],
  ]) {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    const video = Object.assign(document.createElement('video'), { muted: true, srcObject: canvas.captureStream(25) });
    let moved = 0;
    const drawing = setInterval(() => {
      context.drawImage(portrait, width / 3 + (moved++ % 8), height / 6, height / 2, height / 2);
    }, 40);
    await video.play();
    // Both look at the frame that is shown, each at the next one where it takes longer than that.
    const show = async () => {
      await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      return video;
    };
    for (const faces of [false, true]) {
      const recognizers = await create({ faces });
      results[`${width} x ${height}${faces ? ', faces' : ''}`] = await measure(recognizers, show);
      for (const recognizer of Object.values(recognizers)) recognizer.dispose();
    }
    clearInterval(drawing);
  }

  const { backbone } = await (await fetch('/src/model/model.json')).json();
  const recognizers = await create({});
  const still = (round) => {
    const canvas = new OffscreenCanvas(96, 96);
    canvas.getContext('2d').drawImage(portrait, round % 8, 0, 96, 96);
    return canvas;
  };
  results['own descriptors'] = await measure(recognizers, still);
  const draw = () => Math.random() - 0.5;
  const descriptor = (text) => {
    const embedding = Array.from({ length: 384 }, draw);
    const length = Math.hypot(...embedding);
    return { text, embedding: embedding.map((value) => value / length), slope: 1, offset: 0, mean: 0, deviation: 0.1 };
  };
  const taught = (name) => ({
    ...{ format: 'cliper-expression', version: 1, name, backbone, frames: 5, neutral: 5, recognized: 1, taken: 0 },
    descriptors: Array.from({ length: 100 }, (_, place) =>
      descriptor(`a face that shows ${name}, as text ${place} has it`),
    ),
  });
  const names = Array.from({ length: 100 }, (_, place) => `expression ${place}`);
  const many = Object.fromEntries(names.map((name) => [name, taught(name)]));
  for (const recognizer of Object.values(recognizers)) await recognizer.setDescriptors(many);
  results['100 x 100 descriptors'] = await measure(recognizers, still);
  return results;
}
