// What holds for all inputs, by fast-check: options, what a manifest lists, crops, smoothing, changes, time-lines, errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentMoments, toCsv, toJson } from '../../../www/dist/demo/moments.js';
import { ExpressionRecognizer, CliperError as PublishedError } from '../../../www/dist/src/index.js';
import { ChangeFilter } from '../../../www/dist/src/page/changes.js';
import { cropOf, MAX_PIXELS } from '../../../www/dist/src/page/crop.js';
import { mergeFaceOptions } from '../../../www/dist/src/page/faces.js';
import { openClip, sample } from '../../../www/dist/src/page/film.js';
import { Pace } from '../../../www/dist/src/page/frame-scheduler.js';
import { BundleDownload } from '../../../www/dist/src/page/loader.js';
import { fromFiles } from '../../../www/dist/src/page/local-bundle.js';
import { display, smooth } from '../../../www/dist/src/page/smoothing.js';
import { CliperError, ENGINE_CODES, PAGE_CODES, toCliperError } from '../../../www/dist/src/shared/errors.js';
import { fc } from '../fast-check.mjs';

const CODES = [...ENGINE_CODES, ...PAGE_CODES];
/** Anything that plain JavaScript may give, numbers of all kinds among it. */
const anything = fc.oneof(
  fc.double(),
  fc.integer({ min: -2, max: 80 }),
  fc.constantFrom(undefined, null, true, '8', '0.5', [], [1], { valueOf: () => 1 }, new Date(1)),
  fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true, withSparseArray: true }),
);

/** Asserts that a call fails with a code of ours alone, or gives what `check` accepts. */
function holds(run, code, check) {
  let value;
  try {
    value = run();
  } catch (error) {
    assert.ok(error instanceof CliperError, String(error?.stack));
    assert.ok([code].flat().includes(error.code), `${error.code}: ${error.message}`);
    return;
  }
  check(value);
}

const isNumber = (value, least, most) => typeof value === 'number' && value >= least && value <= most;

test('options that can not be are refused by name, before anything is fetched', async () => {
  const options = fc.record(
    {
      window: anything,
      balance: anything,
      precision: fc.oneof(anything, fc.constantFrom('f32', 'int8')),
      faces: anything,
    },
    { requiredKeys: [] },
  );
  const property = fc.asyncProperty(options, async (options) => {
    const { window, balance, precision } = options;
    const isFine =
      (window === undefined || (Number.isSafeInteger(window) && window >= 1)) &&
      (balance === undefined || isNumber(balance, 0, 1)) &&
      [undefined, 'f32', 'int8'].includes(precision);
    const error = await ExpressionRecognizer.create(options).then(assert.fail, (error) => error);
    assert.ok(error instanceof PublishedError, String(error?.stack));
    // Node is no browser, which is looked at after the options.
    if (isFine) assert.ok(['unsupported-browser', 'invalid-argument'].includes(error.code), error.code);
    else assert.equal(error.code, 'invalid-argument');
    if (isFine && options.faces === undefined) assert.equal(error.code, 'unsupported-browser');
  });
  await fc.assert(property);
});

test('face options are numbers in their ranges, or refused', () => {
  const names = ['maxFaces', 'minScore', 'zoom', 'detectInterval', 'lostTimeout', 'rate', 'maxPerFrame', 'minChange'];
  const options = fc.oneof(
    anything,
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), anything, { noNullPrototype: false }),
  );
  const property = fc.property(fc.array(options, { maxLength: 3 }), (asked) =>
    holds(
      () => mergeFaceOptions(...asked),
      'invalid-argument',
      (merged) => {
        for (const [name, value] of Object.entries(merged ?? {})) {
          assert.ok(names.includes(name), name);
          assert.ok(isNumber(value, 0, 60_000), `${name}: ${value}`);
        }
      },
    ),
  );
  fc.assert(property);
});

test('a rate is a number of looks a second, or refused; a due frame is never far away', () => {
  fc.assert(
    fc.property(anything, (rate) =>
      holds(
        () => new Pace(rate),
        'invalid-argument',
        () => assert.ok(isNumber(rate, 0, 1000) && rate > 0, String(rate)),
      ),
    ),
  );
  const steps = fc.array(
    fc.tuple(fc.double({ min: 0, max: 1e7, noNaN: true }), fc.double({ min: 0, max: 1e7, noNaN: true })),
  );
  const rates = fc.double({ min: 0.5, max: 1000, noNaN: true });
  const property = fc.property(rates, fc.boolean(), steps, (rate, takesAll, steps) => {
    const pace = new Pace(rate, takesAll);
    let now = 0;
    for (const [pause, took] of steps) {
      now += pause;
      if (!pace.isDue(now)) continue;
      pace.send(now);
      now += took;
      pace.answer(now);
      // Whatever slept, and however long.
      assert.ok(pace.isDue(now + 1000 / rate + 5000), `${rate}: ${now}`);
    }
  });
  fc.assert(property);
});

/** Names that a hostile manifest may list. */
const name = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('\ud800', '%', '2', 'e', '.', '/', '\\', '?', '#', ':', ' ', 'a') }),
  fc.webUrl(),
  fc.constantFrom(
    'https:host',
    '//host/x',
    '/x',
    '../x',
    '.',
    '..',
    '%2e%2e%2fx',
    'data:,x',
    'a?b',
    'a#b',
    'a b',
    '\ud800',
  ),
);
const file = fc.record(
  {
    path: fc.oneof(name, anything),
    bytes: fc.oneof(fc.nat(), anything),
    sha256: fc.oneof(fc.constant('00'), anything),
    role: fc.oneof(fc.constantFrom('weights', 'descriptors', 'labels', 'card', 'text'), anything),
  },
  { requiredKeys: [] },
);
const manifest = fc.oneof(
  fc.string(),
  fc.json(),
  fc.record(
    {
      files: fc.oneof(fc.array(fc.oneof(file, anything)), anything),
      weights: fc.oneof(file, anything),
      labels: anything,
    },
    { requiredKeys: [] },
  ),
);
const written = (value) => {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '';
  }
};

test('whatever a manifest lists, nothing is asked for but plain names beside it', async () => {
  const base = new URL('https://host/folder/model.json');
  const property = fc.asyncProperty(manifest, async (manifest) => {
    const asked = [];
    const fractions = [];
    const fetch = async (url) => {
      asked.push(url);
      return new Response(asked.length === 1 ? written(manifest) : 'bytes');
    };
    const { signal } = new AbortController();
    const bundle = await BundleDownload.start(base, {
      fetch,
      signal,
      cache: false,
      onProgress: (fraction) => fractions.push(fraction),
    });
    for (const file of bundle.files) await bundle.read(file);
    for (const { href } of asked) {
      assert.ok(href.startsWith('https://host/folder/'), href);
      assert.ok(!/[/?#]/.test(href.slice('https://host/folder/'.length)), href);
    }
    for (const [index, fraction] of fractions.entries())
      assert.ok(fraction >= (fractions[index - 1] ?? 0) && fraction <= 1, fractions.join());
  });
  await fc.assert(property);
});

test('a file is read no further than the manifest says', async () => {
  const property = fc.asyncProperty(fc.nat(2000), fc.integer({ min: 1, max: 500 }), async (bytes, piece) => {
    const manifest = JSON.stringify({ files: [{ path: 'a', bytes, sha256: '00', role: 'weights' }] });
    let given = 0;
    let pulls = 0;
    const endless = () =>
      new ReadableStream({
        pull(controller) {
          if (++pulls > 100_000) throw new Error('read without an end');
          given += piece;
          controller.enqueue(new Uint8Array(piece));
        },
      });
    const fetch = async ({ href }) => new Response(href.endsWith('json') ? manifest : endless());
    const { signal } = new AbortController();
    const bundle = await BundleDownload.start(new URL('https://host/model.json'), { fetch, signal, cache: false });
    const { bytes: read } = await bundle.read(bundle.files[0]);
    assert.ok(read.length > bytes && read.length <= bytes + piece, `${read.length} of ${bytes}`);
    // Once, and once more past the caches; a stream holds a piece or two ready.
    assert.ok(given <= 2 * (bytes + 4 * piece), `${given} for ${bytes}`);
  });
  await fc.assert(property);
});

test('a bundle that the page has: each file is found under its name, and under no other', async () => {
  const plain = name.filter((name) => name !== '' && !/^\.|[/\\]|\p{Surrogate}/u.test(name) && name !== 'model.json');
  const property = fc.asyncProperty(fc.uniqueArray(plain, { maxLength: 5 }), plain, async (names, other) => {
    const files = Object.fromEntries(names.map((name) => [name, new TextEncoder().encode(name)]));
    const listed = [...names, other].map((path) => ({ path, bytes: 0, sha256: '00' }));
    const manifestText = new TextEncoder().encode(JSON.stringify({ files: listed }));
    const { manifest, fetch } = fromFiles(Object.assign(Object.create(null), files, { 'model.json': manifestText }));
    const { signal } = new AbortController();
    const bundle = await BundleDownload.start(manifest, { fetch, signal, cache: false });
    for (const [index, file] of bundle.files.entries()) {
      if (index < names.length) assert.equal((await fetch(bundle.addressOf(file.path))).status, 200, file.path);
      else if (!names.includes(other)) await assert.rejects(bundle.read(file), { code: 'missing-file' });
    }
    assert.equal(bundle.files.length, names.length + 1);
  });
  await fc.assert(property);
});

test('a crop lies in the picture, in whole pixels, or is refused', () => {
  const side = fc.oneof(fc.integer({ min: -1, max: 40_000 }), fc.double({ max: 1e9 }));
  const box = fc.oneof(
    fc.constantFrom(undefined, 'whole'),
    fc.record({ x: anything, y: anything, width: anything, height: anything }),
    fc.record({ x: fc.double(), y: fc.double(), width: fc.double(), height: fc.double() }),
    fc.record({
      x: fc.integer({ min: -50, max: 500 }),
      y: fc.integer({ min: -50, max: 500 }),
      width: fc.integer({ min: -5, max: 500 }),
      height: fc.integer({ min: -5, max: 500 }),
    }),
  );
  const property = fc.property(side, side, box, (width, height, box) =>
    holds(
      () => cropOf(width, height, box),
      ['invalid-image', 'invalid-argument', 'image-too-large'],
      (crop) => {
        for (const value of Object.values(crop)) assert.ok(Number.isSafeInteger(value), JSON.stringify(crop));
        assert.ok(crop.x >= 0 && crop.y >= 0 && crop.width >= 1 && crop.height >= 1, JSON.stringify(crop));
        assert.ok(crop.x + crop.width <= width && crop.y + crop.height <= height, JSON.stringify(crop));
        assert.ok(crop.width * crop.height <= MAX_PIXELS);
        if (box === undefined) assert.equal(crop.width, crop.height);
        if (typeof box === 'object') {
          for (const value of Object.values(box)) assert.equal(typeof value, 'number');
          // Rounding moves an edge by half a pixel at most.
          assert.ok(crop.x + crop.width <= box.x + box.width + 1 && crop.x >= box.x - 1, JSON.stringify([box, crop]));
        }
      },
    ),
  );
  fc.assert(property);
});

const score = fc.double({ min: 0, max: 1, noNaN: true });
/** Scores of so many expressions that add up to 1. */
const scoresOf = (count) =>
  fc.array(fc.double({ min: 1e-6, max: 1, noNaN: true }), { minLength: count, maxLength: count }).map((values) => {
    const sum = values.reduce((sum, value) => sum + value, 0);
    return values.map((value) => value / sum);
  });
const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

test('smoothing stays between what is shown and what comes, keeps the sum, and does not mind the rate', () => {
  const pairs = fc.integer({ min: 1, max: 9 }).chain((count) => fc.tuple(scoresOf(count), scoresOf(count)));
  const seconds = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
  const property = fc.property(pairs, seconds, seconds, ([shown, target], elapsed, time) => {
    const next = smooth(shown, target, elapsed, time);
    for (const [index, value] of next.entries()) {
      const [low, high] = [shown[index], target[index]].sort((a, b) => a - b);
      assert.ok(value >= low - 1e-12 && value <= high + 1e-12, `${value} between ${low} and ${high}`);
    }
    assert.ok(Math.abs(sumOf(next) - 1) < 1e-9, `${sumOf(next)}`);
    const halves = smooth(smooth(shown, target, elapsed / 2, time), target, elapsed / 2, time);
    for (const [index, value] of next.entries()) assert.ok(Math.abs(value - halves[index]) < 1e-9);
  });
  fc.assert(property);
  fc.assert(
    fc.property(pairs, fc.double(), fc.double(), ([shown, target], elapsed, time) => {
      for (const value of smooth(shown, target, elapsed, time))
        assert.ok(isNumber(value, -1e-12, 1 + 1e-12), `${value}`);
    }),
  );
});

const NAMES = ['calm', 'smiling', 'angry'];
const answer = scoresOf(NAMES.length).map((scores) => ({
  expressions: NAMES.map((name, index) => ({
    name,
    score: scores[index],
    descriptors: [{ text: `${name}.`, similarity: 0.2 }],
  })),
}));

test('what is shown is one of the expressions with its own score, and its clock never goes back', () => {
  const steps = fc.array(fc.tuple(answer, fc.integer({ min: -4_000_000, max: 4_000_000 })), { minLength: 1 });
  const options = fc.record(
    { time: fc.double({ min: 0, max: 10, noNaN: true }), hysteresis: score, uncertainBelow: score },
    { requiredKeys: [] },
  );
  const property = fc.property(steps, options, (steps, options) => {
    let shown;
    let now = 0;
    for (const [answer, pause] of steps) {
      now += pause;
      const next = display(shown, answer, now, options);
      assert.ok(next.at >= (shown?.at ?? next.at));
      assert.equal(next.top.score, next.scores[NAMES.indexOf(next.top.name)]);
      assert.ok(Math.abs(sumOf(next.scores) - 1) < 1e-9);
      assert.ok(Math.max(...next.scores) - next.top.score < (options.hysteresis ?? 0.1) + 1e-9);
      if (options.uncertainBelow === undefined) assert.equal(next.uncertain, false);
      shown = next;
    }
  });
  fc.assert(property);
});

test('changes follow each other: each begins where the one before ended, and every face that was named ends', () => {
  const face = fc.record({ id: fc.nat(3), state: fc.constantFrom('recognized', 'warming-up', 'lost'), answer });
  const faces = fc.uniqueArray(face, { selector: ({ id }) => id, maxLength: 4 });
  const steps = fc.array(fc.tuple(faces, fc.nat(2000)));
  const options = fc.record({ hold: fc.nat(1000), uncertainBelow: score, hysteresis: score }, { requiredKeys: [] });
  const property = fc.property(steps, options, (steps, options) => {
    const filter = new ChangeFilter(options);
    const named = new Map();
    let now = 0;
    const follow = (changes) => {
      for (const { from, to, face, at, sentence, score } of changes) {
        assert.notEqual(from, to);
        assert.equal(from, named.get(face));
        assert.equal(at, now);
        assert.ok(sentence.endsWith('.') && isNumber(score, 0, 1 + 1e-9), sentence);
        assert.ok(to === undefined || NAMES.includes(to));
        named.set(face, to);
      }
    };
    for (const [faces, pause] of steps) {
      now += pause;
      follow(filter.take({ faces: faces.map(({ answer, ...face }) => ({ ...face, ...answer })) }, now));
    }
    follow(filter.take({ faces: [] }, now));
    assert.ok([...named.values()].every((name) => name === undefined));
  });
  fc.assert(property);
});

/** Reads a table as spreadsheets do (RFC 4180). */
function readCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n\r]*))(,|\n)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

test('a time-line that is saved is read back as it was, whatever the expressions are called', () => {
  const names = fc.array(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', ' ', 'a') })), {
    minLength: 1,
    maxLength: 5,
  });
  const moments = names.chain((names) => {
    const moment = fc.record({
      time: fc.double({ min: 0, max: 1e5, noNaN: true }),
      expression: fc.constantFrom(...names),
      scores: scoresOf(names.length),
    });
    return fc.tuple(fc.constant(names), fc.array(moment, { maxLength: 10 }));
  });
  const property = fc.property(moments, fc.string(), ([names, moments], model) => {
    const [head, ...rows] = readCsv(toCsv(names, moments));
    assert.deepEqual(head, ['seconds', 'expression', ...names]);
    assert.equal(rows.length, moments.length);
    for (const [index, [seconds, expression, ...scores]] of rows.entries()) {
      const moment = moments[index];
      assert.equal(expression, moment.expression);
      assert.ok(Math.abs(Number(seconds) - moment.time) < 6e-4);
      scores.forEach((score, place) => assert.ok(Math.abs(Number(score) - moment.scores[place]) < 6e-5));
    }
    // A number that is -0 is 0 in JSON.
    const plain = JSON.parse(JSON.stringify({ model, expressions: names, moments }));
    assert.deepEqual(JSON.parse(toJson(model, names, moments)), plain);
  });
  fc.assert(property);
});

test('the last seconds are those before the newest moment, each as it came', () => {
  const times = fc.array(fc.double({ min: 0, max: 1000, noNaN: true }), { minLength: 1 });
  const property = fc.property(times, fc.double({ min: 0.1, max: 100, noNaN: true }), (times, seconds) => {
    const recent = new RecentMoments(seconds);
    for (const time of times) {
      recent.add({ time, expression: 'calm', scores: [1] });
      assert.equal(recent.list.at(-1).time, time);
      assert.ok(recent.list.every((moment) => moment.time > time - seconds));
    }
  });
  fc.assert(property);
});

test('frames that stand for a clip: in order, none twice, from all of it', () => {
  const property = fc.property(
    fc.integer({ min: 1, max: 10_000 }),
    fc.integer({ min: 1, max: 500 }),
    (count, frames) => {
      const chosen = sample(count, frames);
      assert.equal(chosen.length, Math.min(count, frames));
      for (const [index, place] of chosen.entries()) {
        assert.ok(Number.isInteger(place) && place > (chosen[index - 1] ?? -1) && place < count);
        // One of each equal part, which may begin within a frame.
        const part = count / frames;
        if (count > frames) assert.ok(place >= Math.floor(part * index) && place < part * (index + 1));
      }
    },
  );
  fc.assert(property);
});

test('part of a list of pictures: its frames lie in it, or it is refused', async () => {
  const options = fc.record({ from: anything, to: anything, rate: anything }, { requiredKeys: [] });
  const property = fc.asyncProperty(
    fc.nat(40),
    options,
    fc.integer({ min: 1, max: 20 }),
    async (count, options, length) => {
      const pictures = Array.from({ length: count }, () => ({}));
      let opened;
      try {
        opened = await openClip(pictures, options, length, fetch, new AbortController().signal);
      } catch (error) {
        assert.ok(error instanceof CliperError, String(error?.stack));
        assert.equal(error.code, 'invalid-argument');
        return;
      }
      for (const value of [opened.from, opened.to, options.rate ?? 25]) assert.ok(isNumber(value, 0, Number.MAX_VALUE));
      let frames = 0;
      for await (const { time } of opened.frames) {
        assert.ok(time >= opened.from && time < opened.to, `${time} in ${opened.from}..${opened.to}`);
        frames++;
      }
      assert.ok(frames > 0 && frames <= length);
    },
  );
  await fc.assert(property);
});

test('whatever is thrown becomes an error of ours with a code and a sentence', () => {
  const thrown = fc.oneof(
    anything,
    fc.record({ code: fc.oneof(fc.constantFrom(...CODES), anything), message: anything }),
  );
  const property = fc.property(thrown, (thrown) => {
    const error = toCliperError(thrown);
    assert.ok(error instanceof CliperError && CODES.includes(error.code) && typeof error.message === 'string');
  });
  fc.assert(property);
});
