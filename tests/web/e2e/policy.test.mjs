// The Content-Security-Policy that the README prints, as printed: everything works under it, and errors name what it forbids.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

const readme = await readFile(new URL('../../../pkg-build/npm/README.md', import.meta.url), 'utf8');
const [printed] = readme.match(/^default-src .*$/m);

let browser;
before(async () => (browser = await launch({ camera: 'clip' })));
after(() => browser?.close());

/** The library in a page under a policy, with `film()`, a recording, and `forbidden`, what the policy forbade. */
async function open(policy) {
  const server = await serve({ headers: { 'Content-Security-Policy': policy } });
  const opened = await openLibrary(browser, server);
  await opened.page.evaluate(() => {
    globalThis.forbidden = [];
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
      forbidden.push(`${effectiveDirective} ${blockedURI}`),
    );
    globalThis.film = () => filmed(10);
  });
  const close = async () => {
    await opened.close();
    await server.close();
  };
  return { ...opened, server, close };
}

test('everything works under the policy as printed', async () => {
  const { page, complaints, server, close } = await open(printed);
  const bytes = await page.evaluate(async () => [...new Uint8Array(await (await film()).arrayBuffer())]);
  server.own.set('/film.webm', Buffer.from(bytes));
  const seen = await page.evaluate(async (bytes) => {
    const threads = await cliper.ImageEncoder.create({ device: 'cpu', threads: 2 });
    const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: { maxFaces: 1 } });
    const name = ({ faces }) => faces[0]?.top.name;
    const image = new Image();
    image.src = '/demo/portrait.jpg';
    const camera = await cliper.openCamera();
    const stream = recognizer.stream(camera.video, { faces: false });
    const { value } = await stream.next();
    stream.stop();
    camera.stop();
    const names = {
      image: name(await recognizer.recognize(image)),
      file: name(await recognizer.recognize(await sample())),
      address: name(await recognizer.recognize('/demo/portrait.jpg')),
      filmFile: name(await recognizer.recognizeClip(new Blob([new Uint8Array(bytes)]), { frames: 2 })),
      filmAddress: name(await recognizer.recognizeClip('/film.webm', { frames: 2 })),
    };
    return { names, streamed: value.top.name, threads: threads.info.adapter, forbidden };
  }, bytes);
  for (const [name, found] of Object.entries(seen.names)) assert.equal(found, 'happiness', name);
  assert.ok(seen.streamed);
  assert.match(seen.threads, /2 threads/);
  assert.deepEqual(seen.forbidden, []);
  assert.deepEqual(complaints, []);
  await close();
});

const without = (directive) => printed.replace(new RegExp(`${directive} [^;]+`), `${directive} 'none'`);
const CREATE = () => failure(() => cliper.ExpressionRecognizer.create({ device: 'cpu' }));
const FORBIDDEN = {
  'no films as files': [
    printed.replace(' blob:', ''),
    'video-failed',
    /media-src/,
    async () => {
      const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
      return failure(async () => recognizer.recognizeClip(await film()));
    },
  ],
  'no WebAssembly': [printed.replace(" 'wasm-unsafe-eval'", ''), 'worker-failed', /wasm-unsafe-eval/, CREATE],
  'no workers': [without('worker-src'), 'worker-failed', /worker-src/, CREATE],
  'no fetching': [without('connect-src'), 'network', /connect-src/, CREATE],
};

for (const [name, [policy, code, directive, run]] of Object.entries(FORBIDDEN)) {
  test(`${name}: ${code}, and the message names the directive`, async () => {
    const { page, close } = await open(policy);
    const failed = await page.evaluate(run);
    assertFailure(assert, failed, code);
    assert.match(failed.message, directive);
    await close();
  });
}
