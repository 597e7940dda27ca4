// The figures that README and docs print are those of the records and of the built-in model's card, to the digit printed.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { brotliCompress } from 'node:zlib';

const root = new URL('../../../', import.meta.url);
const text = (path) => readFile(new URL(path, root), 'utf8');
const record = async (name) => JSON.parse(await text(`tests/bench/records/${name}.json`));

const MODEL = 'pkg-build/models/ferplus-small';
const [readme, measurements, limits, npm, card] = await Promise.all(
  ['README.md', 'docs/measurements.md', 'docs/limits.md', 'pkg-build/npm/README.md', `${MODEL}/CARD.md`].map(text),
);
const [ferplus, compare, results, engines, frames, precision, drawn, firstAnswer, builds, largeInt8, largeF16] =
  await Promise.all(
    [
      'ferplus',
      'compare',
      'results',
      'engines-epyc',
      'engines-frames',
      'precision',
      'frames',
      'first-answer',
      'builds',
      'large-int8',
      'large-f16',
    ].map(record),
  );
const manifest = JSON.parse(await text(`${MODEL}/model.json`));

/** A row of a table, by how it begins: the numbers that stand behind it. */
function numbersOf(page, beginning) {
  const row = page.split('\n').find((line) => line.startsWith(`| ${beginning}`));
  assert.ok(row, `no row begins with '${beginning}'`);
  return row
    .slice(beginning.length + 2)
    .match(/\d+(?:,\d{3})*(?:\.\d+)?/g)
    .map((number) => number.replaceAll(',', ''));
}

/** A number in so many digits as the printed one. */
const like = (printed, value) => value.toFixed(printed.split('.')[1]?.length ?? 0);

/** Asserts that a row's numbers, those at `places`, are these values. */
function assertRow(page, beginning, values, places = values.map((_, index) => index)) {
  const printed = numbersOf(page, beginning);
  for (const [index, value] of values.entries()) {
    const number = printed[places[index]];
    assert.equal(number, like(number, value), `'${beginning}', number ${places[index]} of ${printed}`);
  }
}

const percent = ({ war, uar }) => [100 * war, 100 * uar];
const net = (name, data, part) =>
  compare.nets.find((one) => one.name === name).data.find((one) => one.name === data)[part];
const { validation, validationUnseen, validationMirrored, fer2013, fer2013Unseen, fer2013Mirrored } = ferplus;

test('the record is of the model that is built in: its card says the same', () => {
  assert.equal(ferplus.model, manifest.name);
  const rows = [
    ['all |', validation],
    ['those of which one expression has the most votes |', validation.untied],
    ['those that more than half of the taggers agree on |', validation.agreed],
    ['without those that also stand in the training part | 3276', validationUnseen],
    ['all, each with its mirror image (`mirror: true`) | 3553', validationMirrored],
    ['without those that also stand in the training part | 3309', fer2013Unseen],
    ['all, each with its mirror image (`mirror: true`) | 3589', fer2013Mirrored],
  ];
  for (const [beginning, measured] of rows) {
    const values = [...percent(measured), 100 * measured.calibrationError];
    // Some begin with the count itself.
    const isCounted = /\d$/.test(beginning);
    assertRow(card, beginning, isCounted ? values : [measured.count, ...values]);
  }
  for (const [index, name] of validation.expressions.entries())
    assertRow(card, `${name} | ${validation.confusion[index].reduce((sum, count) => sum + count)}`, [
      100 * validation.recalls[index],
    ]);
  for (const { name, war, uar, lostPoints } of validation.perturbations)
    assertRow(card, `${name} |`, [100 * war, 100 * uar, lostPoints]);
  assert.match(card, new RegExp(`below ${validation.uncertainBelow.toFixed(3)} is \`uncertain\``));
});

test('README: right answers, the peers beside them, calibration, times', () => {
  assertRow(
    readme,
    'FER+ validation, 8 expressions, pictures that more than half of the taggers agree on |',
    [
      ...percent(validation.agreed),
      100 * net('human', 'FER+', 'all').war,
      100 * net('face-api', 'FER+', 'all').war,
      100 * validation.war,
    ],
    [0, 1, 6, 7, 8],
  );
  assertRow(readme, 'calibration error |', [100 * validation.calibrationError]);
  const { frameMs } = results.page.devices.find(({ device }) => device === 'cpu');
  const [ours, human] = ['cliper', 'human'].map(
    (name) => frames.page.frames.find(({ engine }) => engine === name).medianMs,
  );
  assertRow(readme, 'a frame on the CPU, one thread, Chromium |', [frameMs, ours, human]);
  const faster = (precision) => {
    const { results } = engines.page.rows.find(
      ({ setting }) => setting.precision === precision && setting.threads === 1,
    );
    const [one, other] = ['cliper', 'onnxruntime-web'].map(
      (name) => results.find(({ engine }) => engine === name).medianMs,
    );
    return other / one;
  };
  assertRow(readme, 'ViT-B/32 on the CPU beside onnxruntime-web |', [faster('f32'), faster('int8')], [0, 2]);
  // The descriptors' mean AUC stands in the card.
  assertRow(readme, 'do descriptors follow the movements that they name? AUC, 0.5 is chance |', [
    Number(numbersOf(card, 'mean |')[1]),
  ]);
});

test('bytes of the built-in model: as they are, and in brotli', async () => {
  // What a page fetches when it opens; labels and the text side are asked for.
  const files = [
    'model.json',
    'encoder-00001-of-00001.safetensors',
    'descriptors.safetensors',
    'movements.safetensors',
  ];
  const contents = await Promise.all(files.map((file) => readFile(new URL(`${MODEL}/${file}`, root))));
  const total = (sizes) => sizes.reduce((sum, { length }) => sum + length, 0) / 1e6;
  const fetched = total(await Promise.all(contents.map((content) => promisify(brotliCompress)(content))));
  assertRow(readme, 'to fetch, brotli |', [fetched]);
  assertRow(measurements, 'model, as a page fetches it: in brotli / as it is |', [fetched, total(contents)]);
});

test('what it is worth: every row that a record has', () => {
  const rows = {
    'built-in model on FER+ validation (8 classes, most votes, ties too) |': percent(validation),
    'without ties, on which the votes name no one expression |': percent(validation.untied),
    "on the pictures that FER+'s own scripts keep: more than half of the votes agree |": percent(validation.agreed),
    'all without those that also stand in the training part |': percent(validationUnseen),
    'each picture with its mirror image, twice the time (`mirror: true`) |': percent(validationMirrored),
    "FER2013's own 7 labels (`labels: 'FER2013'`) / with the mirror image |": [fer2013.war, fer2013Mirrored.war].map(
      (share) => 100 * share,
    ),
    'human 3.3.6 / face-api 1.7.15 on the same pictures |': [
      ...['human', 'face-api'].map((name) => 100 * net(name, 'FER+', 'all').war),
      ...['human', 'face-api'].map((name) => 100 * net(name, 'FER+', 'all').uar),
    ],
    'calibration error of the top score (15 bins) |': [100 * validation.calibrationError],
    'most that one of 14 made changes costs (JPEG at quality 30) |': [
      Math.max(...validation.perturbations.map(({ lostPoints }) => lostPoints)),
    ],
    'text side: a sentence of ten words / the first one, which starts it |': [
      precision.textSide.sentenceMilliseconds,
      precision.textSide.firstMilliseconds / 1000,
    ],
    'a frame in Chromium: CPU, 1 thread / WebGPU on a *software* adapter |': [
      results.page.devices[0].frameMs,
      results.page.devices[1].frameMs,
    ],
    'a frame natively: lean CPU encoder / Burn flex |': [results.native.leanCpuMs, results.native.burnFlexMs],
    'page opened to first answer, CPU / WebGPU on a *software* adapter |': results.page.devices.map(
      ({ pageToFirstAnswerMs }) => pageToFirstAnswerMs / 1000,
    ),
    'wasm memory: CPU, in f32 / WebGPU |': results.page.devices.map(({ wasmMemoryBytes }) => wasmMemoryBytes / 1e6),
  };
  for (const [beginning, values] of Object.entries(rows)) assertRow(measurements, beginning, values);
  assertRow(
    measurements,
    'the encoder in 8 bits beside f32, by turns in one page, one thread of a processor without VNNI: time / wasm memory |',
    [precision.int8OverF32, precision.wasmMemoryBytes.int8 / 1e6, precision.wasmMemoryBytes.f32 / 1e6],
  );
  assertRow(
    measurements,
    "a video's frame taken as it is / drawn in its shown size, beside `createImageBitmap`, pixels read: 640 x 480; 1280 x 720 |",
    ['640 x 480', '1280 x 720'].flatMap((size) => [drawn[size].ratios.taken, drawn[size].ratios.drawn]),
  );
  assertRow(
    measurements,
    "answers beside the build before (two canvases a frame, texts in every answer): a camera's frame with faces, 640 x 480 / 1920 x 1080; 100 expressions of 100 descriptors |",
    ['640 x 480, faces', '1920 x 1080, faces', '100 x 100 descriptors'].map((name) => builds[name].ratio),
  );
  assertRow(
    measurements,
    '`create` of ViT-B/32 (seeded weights) beside the build before (commit 4869c98), from a server, with an empty cache, one thread of the CPU: stored in 8 bits / in 16 |',
    [largeInt8.create.ratio, largeF16.create.ratio],
  );
  const photos = ['4000 x 3000 with faces', '8000 x 6000 with faces'].map((name) => largeInt8[name]);
  assertRow(
    measurements,
    "a photo's file with two faces beside the same build, 4000 x 3000 / 8000 x 6000: time; the engine's memory in MB |",
    [
      ...photos.map(({ ratio }) => ratio),
      ...photos.flatMap((photo) => [photo.own.memoryBytes, photo.other.memoryBytes].map((bytes) => bytes / 1e6)),
    ],
  );
  assertRow(
    measurements,
    "demo page opened to the sample picture's answer, fresh browsers, median of 5, two builds by turns on a busy machine (load 12): seventy modules, parts one after the other / one script, parts at once |",
    firstAnswer.pages.map(({ firstAnswerMs }) => firstAnswerMs / 1000),
    [0, 1, 3, 4],
  );
  const share = Math.round(100 * compare.agreement.share);
  assert.match(measurements, new RegExp(`majorities on ${share} % of the pictures`));
  assert.match(npm, new RegExp(`the two agree on ${share} % of the pictures`));
});

test('limits and the package: what is rare is recognised as seldom as they say', () => {
  const recall = (name) => validation.recalls[validation.expressions.indexOf(name)];
  assert.match(limits, /in one picture of two and in one of three/);
  assert.equal(recall('disgust').toFixed(1), '0.5');
  assert.equal(recall('contempt').toFixed(2), '0.33');
  const [before, after] = npm
    .match(/the mean recall goes from ([\d.]+) to [\d.]+ %\n\s+and the accuracy from ([\d.]+)/)
    .slice(1);
  assert.deepEqual([before, after], [like(before, 100 * validation.uar), like(after, 100 * validation.war)]);
});
