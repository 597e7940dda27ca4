// Random schedules of work that is aborted and disposed of at any moment: everything settles, nothing is left, the page goes on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { openLibrary } from '../library.mjs';
import { amount, PATIENCE, until } from '../long.mjs';
import { serve } from '../server.mjs';

const SEED = Number(process.env.CLIPER_SEED ?? 20_210);
const SCHEDULES = amount(40, 500);
/** Seconds in which whatever was begun has ended: a bound, and no measure. */
const BOUND = 60;
/** The ends that there may be. */
const ENDS = ['done', 'aborted', 'disposed'];

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** In the page: `schedule(seed, bound)` runs one, and gives what was begun with its end. */
async function prepare() {
  globalThis.unheard = [];
  for (const event of ['unhandledrejection', 'error'])
    addEventListener(event, ({ reason, message }) => unheard.push(String(reason?.message ?? message)));
  const portrait = await createImageBitmap(await sample());
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const context = canvas.getContext('2d');
  let shown = 0;
  setInterval(() => {
    context.drawImage(portrait, 60, 20, 200, 200);
    context.fillStyle = `hsl(${(shown += 7)} 80% 50%)`;
    context.fillRect(0, 0, 4, 4);
  }, 40);
  const video = Object.assign(document.createElement('video'), { muted: true, srcObject: canvas.captureStream(25) });
  await video.play();
  const [photo, film] = [await sample(), await filmed(6)];

  /** Numbers from 0 to 1, the same for a seed (mulberry32). */
  const numbers = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

  const WORK = {
    picture: (recognizer, options) => recognizer.recognize(photo, options),
    faces: (recognizer, options) => recognizer.recognize(photo, { ...options, faces: true }),
    evidence: (recognizer, options) => recognizer.recognize(portrait, { ...options, mirror: true, evidence: true }),
    frame: (recognizer, options) => recognizer.push(portrait, options),
    pictures: (recognizer, options) =>
      recognizer.recognizeClip([portrait, canvas, portrait], { ...options, frames: 3 }),
    film: (recognizer, options) => recognizer.recognizeClip(film, { ...options, frames: 3 }),
    'film of faces': (recognizer, options) => recognizer.recognizeClip(film, { ...options, frames: 3, faces: true }),
    async stream(recognizer, { signal, random, faces = false }) {
      const stream = recognizer.stream(video, { rate: 25, faces });
      signal.addEventListener('abort', stream.stop);
      if (signal.aborted) stream.stop();
      const most = 1 + Math.floor(5 * random());
      let answers = 0;
      for await (const _ of stream) if (++answers === most) break;
    },
    'stream of faces': (recognizer, options) => WORK.stream(recognizer, { ...options, faces: true }),
    describe: (recognizer, options) => recognizer.describe(['the teeth can be seen'], options),
    async descriptors(recognizer, options) {
      const { happiness, neutral } = recognizer.descriptors;
      const own = { happiness, neutral };
      await recognizer.setDescriptors(happiness && neutral && options.random() < 0.5 ? own : null, options);
    },
    options: (recognizer, { random }) => recognizer.setOptions({ window: 1 + Math.floor(16 * random()) }),
    reset: (recognizer) => recognizer.reset(),
    counters: (recognizer) => recognizer.counters(),
  };

  globalThis.schedule = async (seed, bound) => {
    const random = numbers(seed);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const begun = [];
    const follow = (name, promise) => {
      const late = wait(bound * 1000).then(() => `nothing within ${bound} seconds`);
      const end = promise.then(
        () => 'done',
        (error) => (error instanceof cliper.CliperError ? error.code : `foreign: ${error}`),
      );
      begun.push(Promise.race([end, late]).then((end) => [name, end]));
      return promise.catch(() => {});
    };
    /** A signal that is aborted after up to `most` milliseconds, at once, or never. */
    const signal = (most, often) => {
      const controller = new AbortController();
      if (random() < 0.1) controller.abort();
      else if (random() < often) setTimeout(() => controller.abort(), most * random());
      return controller.signal;
    };
    const options = { device: 'cpu', signal: signal(500, 0.3), faces: random() < 0.3, cache: random() < 0.8 };
    if (random() < 0.15) options.threads = 2;
    const recognizer = await follow('create', cliper.ExpressionRecognizer.create(options));
    if (recognizer) {
      const names = Object.keys(WORK);
      const works = Array.from({ length: 1 + Math.floor(6 * random()) }, () => [pick(names), 80 * random()]);
      const isDisposed = random() < 0.6;
      const disposal = isDisposed && wait(400 * random()).then(() => recognizer.dispose());
      for (const [name, pause] of works) {
        const asked = { signal: signal(250, 0.5), random };
        // A stream of a recognizer that is disposed of is refused at once.
        follow(name, (async () => WORK[name](recognizer, asked))());
        await wait(pause);
      }
      if (!isDisposed) {
        await Promise.all(begun);
        // Whatever was given up half way: page and engine agree on what is answered.
        const agreed = recognizer.recognize(photo, { faces: false }).then(({ expressions }) => {
          const [asked, told] = [recognizer.info.expressions, expressions.map(({ name }) => name)];
          if (asked.join() !== told.join()) throw new Error(`${told} are answered, ${asked} are told`);
        });
        await follow('agreed', agreed);
        recognizer.dispose();
      }
      await disposal;
    }
    return Promise.all(begun);
  };
}

test(`${SCHEDULES} schedules from seed ${SEED} settle, leave no worker, and the page goes on`, PATIENCE, async (t) => {
  const { page, complaints, close } = await openLibrary(browser, server);
  await page.evaluate(prepare);
  const counts = new Map();
  for (let number = 0; number < SCHEDULES; number++) {
    const ends = await page.evaluate(([seed, bound]) => schedule(seed, bound), [SEED + number, BOUND]);
    const where = `schedule ${number} of seed ${SEED}: ${JSON.stringify(ends)}`;
    assert.ok(
      ends.every(([, end]) => ENDS.includes(end)),
      where,
    );
    // Nothing but giving up may make it fail.
    for (const [name, end] of ends) {
      if (name === 'agreed') assert.equal(end, 'done', where);
      counts.set(`${name}: ${end}`, (counts.get(`${name}: ${end}`) ?? 0) + 1);
    }
    assert.deepEqual(await page.evaluate(() => unheard), [], where);
    assert.deepEqual(complaints, [], where);
    await until(() => page.workers().length === 0, `no worker is left after ${where}`);
  }
  for (const end of ENDS)
    assert.ok(
      [...counts.keys()].some((key) => key.endsWith(end)),
      `none was ever ${end}`,
    );
  t.diagnostic(JSON.stringify(Object.fromEntries([...counts].sort())));
  const top = await page.evaluate(async () => {
    const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
    return (await recognizer.recognize(await sample())).top.name;
  });
  assert.equal(top, 'happiness');
  await close();
});
