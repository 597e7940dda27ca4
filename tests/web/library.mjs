// The library on an empty page, with the little that tests need in that page.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openPage } from './browser.mjs';
import { DIST } from './server.mjs';

/**
 * Opens an empty page of the server with these globals: `cliper`, the library; `failure(run)`, what `run` throws as
 * plain data; `sample()`, the portrait as a Blob; `filmed(frames)`, a film of it as a Blob, so many twentieths of a second long;
 * and `recognizer`, if `options` for `create` are given.
 */
export async function openLibrary(browser, server, options) {
  const opened = await openPage(browser, `${server.url}/blank.html`);
  await opened.page.evaluate(async (options) => {
    globalThis.cliper = await import('/src/index.js');
    globalThis.failure = async (run) => {
      try {
        await run();
        return 'nothing was thrown';
      } catch (error) {
        return {
          isOwn: error instanceof cliper.CliperError,
          name: error.name,
          code: error.code,
          message: error.message,
        };
      }
    };
    globalThis.sample = async () => (await fetch('/demo/portrait.jpg')).blob();
    globalThis.filmed = async (frames) => {
      const portrait = await createImageBitmap(await sample());
      const canvas = Object.assign(document.createElement('canvas'), { width: 224, height: 224 });
      const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: 'video/webm' });
      const pieces = [];
      recorder.ondataavailable = ({ data }) => pieces.push(data);
      recorder.start();
      for (let frame = 0; frame < frames; frame++) {
        canvas.getContext('2d').drawImage(portrait, 0, 0, 224, 224);
        canvas.getContext('2d').fillRect(frame, 0, 2, 2);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      return new Blob(pieces, { type: 'video/webm' });
    };
    if (options) globalThis.recognizer = await cliper.ExpressionRecognizer.create(options);
  }, options);
  return opened;
}

/** Asserts that a failure is this library's own, has the code, and says what to do in a sentence. */
export function assertFailure(assert, failure, code) {
  assert.equal(failure?.code, code, JSON.stringify(failure));
  assert.ok(failure.isOwn && failure.name === 'CliperError', JSON.stringify(failure));
  assert.ok(failure.message.length > 30, failure.message);
}

/**
 * Puts a script in front of the CPU engine's, which it finds as `./real.js`, and gives the worker as its modules, which take it. Returns how
 * to undo it.
 */
export async function putBefore(server, script) {
  const [folder, worker] = ['/src/wasm/cpu-relaxed', '/src/worker/worker.js'];
  server.own.set(`${folder}/real.js`, await readFile(join(DIST, folder, 'cliper.js')));
  server.own.set(worker, await readFile(join(DIST, 'src/worker/modules.js')));
  const all = `import { Session } from './real.js'; export * from './real.js'; export { default } from './real.js'; ${script}`;
  server.own.set(`${folder}/cliper.js`, Buffer.from(all));
  return () => [worker, `${folder}/cliper.js`].forEach((path) => server.own.delete(path));
}

/** Lets `recognize` and `recognizeFaces` do what `failing` says. `trap()` is what a panic in Rust ends in. Returns how to mend it. */
export function breakEngine(server, failing) {
  return putBefore(
    server,
    `
    const code = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11);
    const { f: trap } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
    Session.prototype.recognize = Session.prototype.recognizeFaces = ${failing};
  `,
  );
}
