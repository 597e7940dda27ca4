// Every browser: start, pictures, streams, films, faces and threads, answered as in Chromium. Firefox (FIREFOX, which
// `cargo pkg test` installs) runs every time, by puppeteer-core; Chromium, which the other tests have, and WebKit, by its own
// driver, only with CLIPER_HOSTS (`cargo pkg test --hosts`).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, openPage } from '../web/browser.mjs';
import { serve } from '../web/server.mjs';

const { CLIPER_HOSTS, FIREFOX = '/usr/bin/firefox-esr' } = process.env;
const MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';
const puppeteer = createRequire(new URL('../../www/package.json', import.meta.url))('puppeteer-core');
const isAsked = (name) => CLIPER_HOSTS === '1' || (CLIPER_HOSTS && name.includes(CLIPER_HOSTS));
const film = async (name) => readFile(fileURLToPath(new URL(`../fixtures/films/${name}`, import.meta.url)));

const EXPECTED = {
  file: 'happiness',
  address: 'happiness',
  img: 'happiness',
  'canvas, faces': 'happiness at 360 30 180',
  'img srcset 2x, faces': 'happiness at 360 30 180',
  nobody: '',
  threads: 'wasm, relaxed SIMD, 2 threads',
  stream: 'happiness,happiness,happiness',
  'film, first frame': 'neutral',
  'film, clip with faces': 'happiness in 4',
  'film, turned': 'happiness at 360 30 180',
  'film, oblong': 'happiness at 360 30 180',
};

describe('browsers', () => {
  let server;
  before(async () => {
    server = await serve();
    server.own.set('/try.mjs', await readFile(new URL('./try.mjs', import.meta.url)));
    for (const name of await readdir(new URL('../fixtures/films/', import.meta.url))) {
      if (name.endsWith('.mp4') || name.endsWith('.webm'))
        server.own.set(`/films/${name}`, ranged(name, await film(name)));
    }
  });
  after(() => server?.close());

  test('Chromium', { skip: !isAsked('Chromium') && 'only with --hosts' }, async (context) => {
    const browser = await launch();
    try {
      context.diagnostic(`Chromium ${browser.version()}`);
      const { page } = await openPage(browser, `${server.url}/blank.html`);
      check(await page.evaluate(async () => (await import('/try.mjs')).tryEverything()));
    } finally {
      await browser.close();
    }
  });

  test('Firefox', { skip: CLIPER_HOSTS && !isAsked('Firefox') && 'not asked for' }, async (context) => {
    assert.ok(existsSync(FIREFOX), `there is no ${FIREFOX}: install firefox-esr, or set FIREFOX to Firefox's program`);
    const browser = await puppeteer.launch({ browser: 'firefox', executablePath: FIREFOX, headless: true });
    try {
      context.diagnostic(await browser.version());
      const page = await browser.newPage();
      await page.goto(`${server.url}/blank.html`);
      check(await page.evaluate(async () => (await import('/try.mjs')).tryEverything()));
    } finally {
      await browser.close();
    }
  });

  test('WebKit', {
    skip: isAsked('WebKit') ? !existsSync(MINI_BROWSER) && 'no WebKitGTK here' : 'only with --hosts',
  }, async (context) => {
    const driver = await openWebKit();
    try {
      context.diagnostic(`WebKitGTK ${driver.version}`);
      await driver.ask('POST', '/url', { url: `${server.url}/blank.html` });
      await driver.ask('POST', '/timeouts', { script: 900_000 });
      const script = `const done = arguments[0];
        import('/try.mjs').then(({ tryEverything }) => tryEverything()).then(done, (error) => done({ start: String(error) }));`;
      // Without relaxed SIMD one thread computes, and says so.
      check(await driver.ask('POST', '/execute/async', { script, args: [] }), { threads: 'wasm, SIMD, 1 thread' });
    } finally {
      await driver.close();
    }
  });
});

/** `more`: what this browser answers otherwise, and why it may. */
function check({ 'film, clip': clip, ...answers }, more = {}) {
  assert.deepEqual(answers, { ...EXPECTED, ...more });
  // Frames spread over four seconds, of which the second half shows the portrait.
  const moments = clip.split(',').map((moment) => moment.split(' '));
  assert.equal(moments.length, 8, clip);
  for (const [time, name] of moments) if (time !== '2') assert.equal(name === 'happiness', time > 2, clip);
}

/** A film as servers of films answer: by ranges. */
function ranged(name, bytes) {
  const type = name.endsWith('.mp4') ? 'video/mp4' : 'video/webm';
  return (response, head) => {
    const range = /bytes=(\d+)-(\d*)/.exec(response.req.headers.range ?? '');
    const from = Number(range?.[1] ?? 0);
    const to = Number(range?.[2] || bytes.length - 1);
    const more = range ? { 'Content-Range': `bytes ${from}-${to}/${bytes.length}` } : {};
    const all = { ...head, ...more, 'Content-Type': type, 'Accept-Ranges': 'bytes', 'Content-Length': to + 1 - from };
    response.writeHead(range ? 206 : 200, all).end(bytes.subarray(from, to + 1));
  };
}

/** WebKit's browser under its driver, on a display of its own. */
async function openWebKit() {
  const port = 30_000 + (process.pid % 20_000);
  const display = `:${90 + (process.pid % 900)}`;
  const screen = spawn('Xvfb', [display, '-screen', '0', '1280x800x24'], { stdio: 'ignore' });
  const env = {
    ...process.env,
    DISPLAY: display,
    LIBGL_ALWAYS_SOFTWARE: '1',
    // Containers give it no namespaces to make one of, as with Chromium's --no-sandbox.
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
  };
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore', env });
  let session = '';
  const ask = async (method, path, body) => {
    const options = { method, ...(body && { body: JSON.stringify(body) }) };
    const response = await fetch(`http://127.0.0.1:${port}${session}${path}`, options);
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  const end = () => {
    driver.kill();
    screen.kill();
  };
  try {
    for (let tries = 0; ; tries++) {
      const isUp = await fetch(`http://127.0.0.1:${port}/status`).then(
        () => true,
        () => false,
      );
      if (isUp) break;
      if (tries === 60) throw new Error("WebKit's driver did not start");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const options = { binary: MINI_BROWSER, args: ['--automation'] };
    const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': options } };
    const { sessionId, capabilities: found } = await ask('POST', '/session', { capabilities });
    session = `/session/${sessionId}`;
    const close = async () => {
      await ask('DELETE', '').catch(() => {});
      end();
    };
    return { ask, close, version: found.browserVersion };
  } catch (error) {
    end();
    throw error;
  }
}
