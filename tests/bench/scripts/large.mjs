// Another build of the library beside this one, by turns in one page, on one thread: the start of a large model, from a server and
// with an empty cache, and large photos: node tests/bench/scripts/large.mjs DIST BUNDLE, the other one's www/dist and a bundle's folder,
// after `cargo pkg build`. The engine's memory never shrinks: what is given is its peak.

import { publish, readBundle } from '../../web/bundle.mjs';
import { printComparison } from './two-builds.mjs';

const [other, bundle] = process.argv.slice(2);
if (!bundle) throw new Error('name the other build and a bundle: node tests/bench/scripts/large.mjs DIST BUNDLE');
await printComparison(other, compare, { rounds: 7 }, async (server) =>
  publish(server, 'large', await readBundle(bundle)),
);

async function compare({ rounds }) {
  const builds = { other: await import('/other/src/index.js'), own: cliper };
  const middle = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
  const beside = (found) => ({ ...found, ratio: found.own.milliseconds / found.other.milliseconds });

  async function starts() {
    const times = { other: [], own: [] };
    const memory = {};
    for (let round = -1; round < rounds; round++)
      for (const [build, { ExpressionRecognizer }] of Object.entries(builds)) {
        await caches.delete('cliper');
        const start = performance.now();
        const recognizer = await ExpressionRecognizer.create({ device: 'cpu', model: '/bundles/large/model.json' });
        if (round >= 0) times[build].push(performance.now() - start);
        memory[build] = (await recognizer.counters()).memoryBytes;
        recognizer.dispose();
      }
    const one = (build) => ({ milliseconds: middle(times[build]), memoryBytes: memory[build] });
    return beside({ other: one('other'), own: one('own') });
  }

  async function photos(width, height) {
    const portrait = await createImageBitmap(await sample());
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(120 125 130)';
    context.fillRect(0, 0, width, height);
    for (const [x, y] of [
      [width / 8, height / 8],
      [width / 2, height / 3],
    ])
      context.drawImage(portrait, x, y, height / 2, height / 2);
    const photo = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
    const recognizers = {};
    for (const [build, { ExpressionRecognizer }] of Object.entries(builds))
      recognizers[build] = await ExpressionRecognizer.create({ device: 'cpu', faces: true });
    const found = { other: { times: [] }, own: { times: [] } };
    for (let round = -1; round < rounds; round++)
      for (const [build, recognizer] of Object.entries(recognizers)) {
        const start = performance.now();
        const { faces } = await recognizer.recognize(photo);
        if (round >= 0) found[build].times.push(performance.now() - start);
        found[build].faces = faces.length;
        found[build].memoryBytes = (await recognizer.counters()).memoryBytes;
      }
    for (const recognizer of Object.values(recognizers)) recognizer.dispose();
    const one = ({ times, ...rest }) => ({ milliseconds: middle(times), ...rest });
    return beside({ other: one(found.other), own: one(found.own) });
  }

  return {
    create: await starts(),
    '4000 x 3000 with faces': await photos(4000, 3000),
    '8000 x 6000 with faces': await photos(8000, 6000),
  };
}
