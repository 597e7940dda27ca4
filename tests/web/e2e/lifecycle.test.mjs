// From create to dispose: progress, aborts, two at once, and workers that fail.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, breakEngine, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

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

/** Runs `test` on a page of its own, which must have nothing unhandled at the end. */
function onPage(name, run, options) {
  test(name, async () => {
    const { page, complaints, close } = await openLibrary(browser, server, options);
    await run(page);
    assert.deepEqual(complaints, []);
    await close();
  });
}

onPage('progress never falls and ends at its total, ready', async (page) => {
  const events = await page.evaluate(async () => {
    const events = [];
    await cliper.ExpressionRecognizer.create({ onProgress: (event) => events.push(event) });
    return events;
  });
  const loaded = events.map((event) => event.loaded);
  assert.deepEqual(
    loaded,
    loaded.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(events.map(({ total }) => total)).size, 1);
  assert.deepEqual(events.at(-1), { stage: 'ready', loaded: events[0].total, total: events[0].total });
  assert.equal(events[0].stage, 'download');
});

onPage('the second start takes the bundle from the cache', async (page) => {
  const asked = [];
  const create = () =>
    page.evaluate(async () => (await cliper.ExpressionRecognizer.create({ device: 'cpu' })).dispose());
  await create();
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await create();
  assert.deepEqual(
    asked.filter((path) => path.startsWith('/src/model/')),
    ['/src/model/model.json'],
  );
  // The page has compiled the engine: compiling it for each recognizer would keep its bytes each time.
  assert.ok(!asked.some((path) => path.endsWith('.wasm')), asked.join());
});

onPage('without the cache, everything is fetched again, through the fetch that was given', async (page) => {
  const [own, kept] = await page.evaluate(async () => {
    const own = [];
    const recognizer = await cliper.ExpressionRecognizer.create({
      device: 'cpu',
      cache: false,
      fetch: (url, options) => {
        own.push(url.pathname);
        return fetch(url, options);
      },
    });
    recognizer.dispose();
    return [own, await caches.keys()];
  });
  assert.ok(own.includes('/src/model/model.json') && own.includes('/src/wasm/cpu-relaxed/cliper_bg.wasm'), own.join());
  assert.ok(own.filter((path) => path.startsWith('/src/model/')).length > 1, own.join());
  assert.ok(!own.some((path) => path.endsWith('.md')), own.join());
  assert.deepEqual(kept, []);
});

onPage('a copy of the wasm elsewhere is found by wasmUrl', async (page) => {
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const failed = await page.evaluate(() =>
    failure(() => cliper.ExpressionRecognizer.create({ device: 'cpu', wasmUrl: '/assets/engine' })),
  );
  assertFailure(assert, failed, 'missing-file');
  assert.ok(asked.includes('/assets/engine/cpu-relaxed/cliper_bg.wasm'), asked.join());
});

onPage('aborting a start is aborted, before and in the middle', async (page) => {
  const [before, during] = await page.evaluate(async () => {
    const before = await failure(() => cliper.ExpressionRecognizer.create({ signal: AbortSignal.abort() }));
    const controller = new AbortController();
    const during = await failure(() =>
      cliper.ExpressionRecognizer.create({
        signal: controller.signal,
        cache: false,
        onProgress: ({ loaded }) => loaded > 0 && controller.abort(),
      }),
    );
    return [before, during];
  });
  assertFailure(assert, before, 'aborted');
  assertFailure(assert, during, 'aborted');
});

onPage('wrong options are refused, with nothing left behind', async (page) => {
  const seen = await page.evaluate(async () => {
    const wrong = [{ model: 'http://' }, { device: 'gpu' }, { window: 0 }, { wasmUrl: 'http://[', device: 'cpu' }];
    return Promise.all(wrong.map((options) => failure(() => cliper.ExpressionRecognizer.create(options))));
  });
  for (const failed of seen) assertFailure(assert, failed, 'invalid-argument');
});

onPage('a fetch that never answers can be aborted too', async (page) => {
  const failed = await page.evaluate(() => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return failure(() =>
      cliper.ExpressionRecognizer.create({ signal: controller.signal, fetch: () => new Promise(() => {}) }),
    );
  });
  assertFailure(assert, failed, 'aborted');
});

onPage(
  'aborting a picture is aborted, and the next one is answered',
  async (page) => {
    const [before, during, waiting, score] = await page.evaluate(async () => {
      const picture = await sample();
      const before = await failure(() => recognizer.recognize(picture, { signal: AbortSignal.abort() }));
      const first = new AbortController();
      const second = new AbortController();
      const busy = failure(() => recognizer.recognize(picture, { signal: first.signal }));
      const queued = failure(() => recognizer.recognize(picture, { signal: second.signal }));
      second.abort();
      first.abort();
      return [before, await busy, await queued, (await recognizer.recognize(picture)).top.score];
    });
    for (const failed of [before, during, waiting]) assertFailure(assert, failed, 'aborted');
    assert.ok(score > 0);
  },
  { device: 'cpu' },
);

onPage(
  'after dispose everything is `disposed`, and disposing twice is fine',
  async (page) => {
    const seen = await page.evaluate(async () => {
      const picture = await sample();
      const waiting = failure(() => recognizer.recognize(picture));
      recognizer.dispose();
      recognizer.dispose();
      recognizer[Symbol.dispose]?.();
      return [
        await waiting,
        await failure(() => recognizer.recognize(picture)),
        await failure(() => recognizer.push(picture)),
        await failure(() => recognizer.stream(document.createElement('video')).next()),
        await failure(() => recognizer.setOptions({ window: 2 })),
        await failure(() => recognizer.reset()),
        await failure(() => recognizer.counters()),
        // Even a picture that could not be read at all.
        await failure(() => recognizer.recognize(new Blob([]))),
      ];
    });
    for (const failed of seen) assertFailure(assert, failed, 'disposed');
  },
  { device: 'cpu' },
);

onPage('two instances do not know of each other', async (page) => {
  const seen = await page.evaluate(async () => {
    const picture = await sample();
    const create = (window) => cliper.ExpressionRecognizer.create({ device: 'cpu', window });
    const [one, other] = await Promise.all([create(2), create(5)]);
    const answers = [];
    for (let frame = 0; frame < 3; frame++) {
      answers.push(
        await Promise.all([one.push(picture, { timestamp: frame }), other.push(picture, { timestamp: 1000 - frame })]),
      );
    }
    one.dispose();
    const next = await other.push(picture, { timestamp: 1200 });
    const last = await other.push(picture, { timestamp: 2000 });
    return {
      windows: answers.at(-1).map(({ window }) => window),
      after: [next.window, last.window],
      counters: await other.counters(),
    };
  });
  assert.deepEqual(seen.windows[0], { filled: 2, length: 2 });
  // Time that goes back starts a new window.
  assert.deepEqual(seen.windows[1], { filled: 1, length: 5 });
  // So does a gap as long as the window, five eighths of a second.
  assert.deepEqual(seen.after, [
    { filled: 2, length: 5 },
    { filled: 1, length: 5 },
  ]);
  assert.equal(seen.counters.passes, 5);
});

onPage(
  'calls at once are answered one after the other, each with its own picture',
  async (page) => {
    const seen = await page.evaluate(async () => {
      const portrait = await sample();
      const grey = new OffscreenCanvas(64, 64);
      grey.getContext('2d').fillRect(0, 0, 64, 64);
      const alone = [await recognizer.recognize(portrait), await recognizer.recognize(grey)];
      const together = await Promise.all(
        [portrait, grey, portrait, grey].map((picture) => recognizer.recognize(picture)),
      );
      const scores = ({ expressions }) => expressions.map(({ score }) => score);
      return [alone.map(scores), together.map(scores)];
    });
    assert.deepEqual(seen[1], [...seen[0], ...seen[0]]);
  },
  { device: 'cpu' },
);

test('a worker that is not there, or is no script, is `worker-failed`', async () => {
  server.own.set('/broken/worker.js', Buffer.from('this is no script'));
  const { page, close } = await openLibrary(browser, server);
  const seen = await page.evaluate(async () => {
    const create = (address) =>
      failure(() =>
        cliper.ExpressionRecognizer.create({ createWorker: () => new Worker(address, { type: 'module' }) }),
      );
    const refused = failure(() =>
      cliper.ExpressionRecognizer.create({
        createWorker: () => {
          throw new DOMException('not from here', 'SecurityError');
        },
      }),
    );
    return [await create('/broken/none.js'), await create('/broken/worker.js'), await refused];
  });
  for (const failed of seen) assertFailure(assert, failed, 'worker-failed');
  await close();
});

const FAILING = {
  'a panic on the way in': ['engine-panicked', '() => trap()'],
  // A trap inside a Rust future leaves the call's promise open, and shows in a microtask of its own.
  'a panic inside a future': [
    'engine-panicked',
    '() => { Promise.resolve().then(trap); return new Promise(() => {}); }',
  ],
  'a panic in a callback of the browser': [
    'engine-panicked',
    '() => { setTimeout(trap); return new Promise(() => {}); }',
  ],
  'a worker that falls over': [
    'worker-failed',
    '() => { setTimeout(() => { throw new Error("fell over"); }); return new Promise(() => {}); }',
  ],
};

for (const [name, [code, failing]] of Object.entries(FAILING)) {
  test(`${name}: ${code} for every call, and a new recognizer works`, async (t) => {
    const mend = await breakEngine(server, failing);
    t.after(mend);
    const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
    const seen = await page.evaluate(async () => {
      const picture = await sample();
      const calls = [recognizer.recognize(picture), recognizer.recognize(picture)];
      const failures = await Promise.all(calls.map((call) => failure(() => call)));
      failures.push(await failure(() => recognizer.push(picture)), await failure(() => recognizer.counters()));
      recognizer.dispose();
      return [...failures, await failure(() => recognizer.reset())];
    });
    const last = seen.pop();
    for (const failed of seen) {
      assertFailure(assert, failed, code);
      assert.match(failed.message, /create a new/);
    }
    assertFailure(assert, last, 'disposed');
    mend();
    assert.deepEqual(complaints, []);
    await close();
    const again = await openLibrary(browser, server, { device: 'cpu' });
    assert.ok((await again.page.evaluate(async () => (await recognizer.recognize(await sample())).top.score)) > 0);
    await again.close();
  });
}

onPage('what the browser must have is there', async (page) => {
  assert.equal(await page.evaluate(() => cliper.ExpressionRecognizer.isSupported()), true);
  const seen = await page.evaluate(async () => {
    delete globalThis.OffscreenCanvas;
    return [cliper.ExpressionRecognizer.isSupported(), await failure(() => cliper.ExpressionRecognizer.create())];
  });
  assert.equal(seen[0], false);
  assertFailure(assert, seen[1], 'unsupported-browser');
  assert.match(seen[1].message, /OffscreenCanvas/);
});
