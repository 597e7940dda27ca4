// Real bytes over real connections: everything that can go wrong on the way has a code.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { BundleDownload, fetchOk } from '../../../www/dist/src/page/loader.js';

const weights = randomBytes(300_000);
const files = [
  {
    path: 'weights.bin',
    role: 'weights',
    bytes: weights.length,
    sha256: createHash('sha256').update(weights).digest('hex'),
  },
  { path: 'CARD.md', role: 'card', bytes: 3, sha256: '00' },
];
const manifest = JSON.stringify({ files });
let server;
let base;

before(async () => {
  server = createServer(({ url }, response) => {
    if (url === '/good/model.json') return response.end(manifest);
    if (url === '/good/weights.bin' || url === '/half/model.json')
      return response.end(url.endsWith('bin') ? weights : manifest);
    if (url === '/half/weights.bin') {
      response.writeHead(200, { 'Content-Length': weights.length });
      response.write(weights.subarray(0, weights.length / 2), () => response.destroy());
      return;
    }
    if (url === '/slow/model.json') return response.write('{');
    if (url === '/page/model.json') return response.end('<!doctype html>');
    response.writeHead(url === '/broken' ? 500 : 404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

const start = (path, more = {}) =>
  BundleDownload.start(new URL(path, base), { fetch, signal: new AbortController().signal, cache: false, ...more });

test('brings the manifest and the files that programs need, with progress up to the end', async () => {
  const fractions = [];
  const bundle = await start('/good/model.json', { onProgress: (fraction) => fractions.push(fraction) });
  assert.equal(bundle.manifest, manifest);
  assert.deepEqual(
    bundle.files.map(({ path }) => path),
    ['weights.bin'],
  );
  assert.deepEqual(Buffer.from((await bundle.read(bundle.files[0])).bytes), weights);
  assert.equal(fractions.at(-1), 1);
  assert.deepEqual(
    fractions,
    fractions.toSorted((a, b) => a - b),
  );
});

test('brings the labels that are asked for in the place of the descriptors', async () => {
  const entry = (path, role) => ({ path, role, bytes: 1, sha256: '00' });
  const listed = [
    entry('weights', 'weights'),
    entry('own', 'descriptors'),
    entry('other', 'labels'),
    entry('third', 'labels'),
  ];
  const manifest = JSON.stringify({
    files: listed,
    labels: [
      { name: 'Other', path: 'other' },
      { name: 'Third', path: 'third' },
    ],
  });
  const names = async (labels) => {
    const bundle = await start('/any/model.json', { labels, fetch: async () => new Response(manifest) });
    return bundle.files.map(({ path }) => path);
  };
  assert.deepEqual(await names(), ['weights', 'own']);
  assert.deepEqual(await names('Other'), ['weights', 'other']);
  // The engine says that there are none such.
  assert.deepEqual(await names('None'), ['weights', 'own']);
});

test('fetches a file once, however many devices want it', async () => {
  const asked = [];
  const counting = (url, options) => {
    asked.push(url.pathname);
    return fetch(url, options);
  };
  const bundle = await start('/good/model.json', { fetch: counting });
  const [first, second] = await Promise.all([bundle.read(bundle.files[0]), bundle.read(bundle.files[0])]);
  assert.equal(first, second);
  assert.deepEqual(asked, ['/good/model.json', '/good/weights.bin']);
});

test('files are asked for before their turn, a large model’s one after the other', async () => {
  const entry = (path, bytes) => ({ path, role: 'weights', bytes, sha256: '00' });
  const manifest = JSON.stringify({ files: [entry('a', 2 ** 24), entry('b', 2 ** 24), entry('c', 1), entry('d', 1)] });
  const asked = [];
  const late = async ({ pathname }) => {
    asked.push(pathname.slice(-1));
    if (pathname.endsWith('.json')) return new Response(manifest);
    if (pathname.endsWith('/d')) throw new TypeError('cut off');
    return new Response('x');
  };
  const bundle = await start('/any/model.json', { fetch: late });
  const asks = () => new Set(asked.splice(0));
  asks();
  bundle.readAhead(0);
  assert.deepEqual(asks(), new Set(['a', 'b']), '32 MB');
  await bundle.read(bundle.files[0]);
  asks();
  bundle.readAhead(1);
  assert.deepEqual(asks(), new Set(['c', 'd']), 'the second is on its way');
  // What fails ahead is told to whoever reads it.
  await new Promise((resolve) => setTimeout(resolve, 10));
  await assert.rejects(bundle.read(bundle.files[3]), { code: 'network' });
});

test('a connection that breaks half way is `network`', async () => {
  const bundle = await start('/half/model.json');
  await assert.rejects(bundle.read(bundle.files[0]), { name: 'CliperError', code: 'network', message: /half way/ });
});

test('a server that is not there, and one that fails, are `network`', async () => {
  const { signal } = new AbortController();
  await assert.rejects(fetchOk(new URL('http://127.0.0.1:1/'), fetch, signal), { code: 'network' });
  await assert.rejects(fetchOk(new URL('/broken', base), fetch, signal), { code: 'network', message: /HTTP 500/ });
});

test('a file that is not there is `missing-file`', async () => {
  await assert.rejects(start('/nothing/model.json'), { code: 'missing-file', message: /404/ });
});

test('an abort in the middle is `aborted`', async () => {
  const controller = new AbortController();
  const started = start('/slow/model.json', { signal: controller.signal });
  setTimeout(() => controller.abort(), 20);
  await assert.rejects(started, { code: 'aborted' });
  await assert.rejects(start('/good/model.json', { signal: controller.signal }), { code: 'aborted' });
});

test('a manifest that is none lists no files: the engine says what is wrong', async () => {
  const bundle = await start('/page/model.json');
  assert.deepEqual([...bundle.files], []);
  assert.equal(bundle.manifest, '<!doctype html>');
});

test('where there is no Cache Storage, asking for it changes nothing', async () => {
  const bundle = await start('/good/model.json', { cache: true });
  assert.deepEqual(Buffer.from((await bundle.read(bundle.files[0])).bytes), weights);
});

test('nobody waits for the cache but who reads from it, and it gets one file at a time', async (context) => {
  const entry = (path) => {
    const sha256 = createHash('sha256').update(path).digest('hex');
    return { path, role: 'weights', bytes: path.length, sha256 };
  };
  const listed = [entry('first'), entry('second'), entry('third')];
  const asked = [];
  const fetch = async ({ pathname }) => {
    asked.push(pathname.slice(1));
    return new Response(pathname === '/model.json' ? JSON.stringify({ files: listed }) : pathname.slice(1));
  };
  // A disk that writes when it is told to.
  const stored = new Map();
  const writing = [];
  const cache = {
    match: async ({ href }) => stored.get(href)?.clone(),
    delete: async () => false,
    put: ({ href }, response) =>
      new Promise((resolve) => {
        writing.push(() => {
          stored.set(href, response);
          resolve();
        });
      }),
  };
  globalThis.caches = { open: async () => cache };
  context.after(() => delete globalThis.caches);
  const open = () => start('http://host/model.json', { fetch, cache: true });
  const tick = () => new Promise((resolve) => setTimeout(resolve, 5));
  const bundle = await open();
  const [first, second, third] = bundle.files;
  const { bytes, sha256 } = await bundle.read(first);
  assert.deepEqual([new TextDecoder().decode(bytes), sha256], ['first', first.sha256]);
  // What is given away is not what is written.
  structuredClone(bytes, { transfer: [bytes.buffer] });
  let isRead = false;
  const next = bundle.read(second).then(() => (isRead = true));
  await tick();
  assert.deepEqual([isRead, writing.length, bundle.keeps(first)], [false, 1, true]);
  const another = (await open()).read(first);
  writing.shift()();
  await next;
  assert.equal(bundle.keeps(first), false);
  assert.equal(new TextDecoder().decode((await another).bytes), 'first');
  await tick();
  writing.shift()();
  await bundle.read(third);
  await tick();
  writing.shift()();
  assert.deepEqual(asked, ['model.json', 'first', 'second', 'model.json', 'third']);
});

test('a data: URL, which bundlers make of small files, is read without fetching and never told', async () => {
  const signal = new AbortController().signal;
  const never = () => Promise.reject(new Error('fetched'));
  const read = async (url) => {
    const response = await fetchOk(new URL(url), never, signal);
    return [response.headers.get('content-type'), ...new Uint8Array(await response.arrayBuffer())];
  };
  assert.deepEqual(await read('data:application/octet-stream;base64,AP+A'), ['application/octet-stream', 0, 255, 128]);
  assert.deepEqual(await read('data:application/json,%7B%22a%22:1%7D'), [
    'application/json',
    ...Buffer.from('{"a":1}'),
  ]);
  assert.deepEqual(await read('data:text/plain;charset=utf-8;base64,w6Q='), ['text/plain', 0xc3, 0xa4]);
  const long = `data:application/json;base64,${'A'.repeat(5000)}!`;
  await assert.rejects(read(long), ({ code, message }) => code === 'network' && message.length < 200);
  // A manifest that says nothing is still given to the engine, and no error of a file of its tells the manifest's bytes.
  const bundle = await BundleDownload.start(new URL('data:application/json,{}'), { fetch: never, signal });
  assert.equal(bundle.manifest, '{}');
});

test('a web page in the place of a file is `missing-file`, and the message names the ways out', async () => {
  const page = async () => new Response('<!doctype html>', { headers: { 'content-type': 'text/html; charset=utf-8' } });
  const started = BundleDownload.start(new URL('http://host/model.json'), {
    fetch: page,
    signal: new AbortController().signal,
  });
  await assert.rejects(started, { code: 'missing-file', message: /assets.*optimizeDeps/ });
});

test('a manifest that names other places has nothing asked for there', async () => {
  const places = ['https:elsewhere.test', '//elsewhere.test/x', '../x', '/x', 'https://elsewhere.test/x', '..', ''];
  const files = [...places, 'a?b#c'].map((path) => ({ path, bytes: 5, sha256: '00', role: 'weights' }));
  const asked = [];
  const own = async ({ href }) => {
    asked.push(href);
    return new Response(JSON.stringify({ files }));
  };
  const bundle = await BundleDownload.start(new URL('https://host/folder/model.json'), {
    fetch: own,
    signal: new AbortController().signal,
  });
  await Promise.all(bundle.files.map((file) => bundle.read(file)));
  const beside = ['model.json', 'https%3Aelsewhere.test', 'a%3Fb%23c'];
  assert.deepEqual(
    [...new Set(asked)],
    beside.map((name) => `https://host/folder/${name}`),
  );
});

test('a file that is not what the manifest lists is asked for once more, past the caches', async () => {
  const asked = [];
  const stale = async (url, { cache }) => {
    asked.push([url.pathname, cache]);
    if (url.pathname.endsWith('json')) return new Response(manifest);
    return new Response(cache === 'reload' ? weights : randomBytes(weights.length));
  };
  const bundle = await start('/any/model.json', { fetch: stale });
  assert.deepEqual(Buffer.from((await bundle.read(bundle.files[0])).bytes), weights);
  assert.deepEqual(asked, [
    ['/any/model.json', undefined],
    ['/any/weights.bin', undefined],
    ['/any/weights.bin', 'reload'],
  ]);
});

test("a bundler's address that is relative and has no base counts from the page", async (t) => {
  globalThis.location = { href: `${base}/page/` };
  t.after(() => delete globalThis.location);
  // What Next's `new URL(file, import.meta.url)` gives: `new URL` and the browser's cache refuse it.
  const relative = { href: '/media/weights.1a2b.bin', toString: () => '/media/weights.1a2b.bin' };
  const addresses = new Map([['weights.bin', relative]]);
  const { signal } = new AbortController();
  const download = await BundleDownload.start(new URL(`${base}/good/model.json`), { fetch, signal, addresses });
  assert.equal(download.addressOf('weights.bin').href, `${base}/media/weights.1a2b.bin`);
  assert.equal(download.addressOf('CARD.md').href, `${base}/good/CARD.md`);
});
