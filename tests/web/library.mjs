// The library on an empty page, with the little that tests need in that page.

import { openPage } from './browser.mjs';

/**
 * Opens an empty page of the server with these globals: `cliper`, the library; `failure(run)`, what `run` throws as
 * plain data; `sample()`, the portrait as a Blob; and `recognizer`, if `options` for `create` are given.
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
        return { isOwn: error instanceof cliper.CliperError, name: error.name, code: error.code, message: error.message };
      }
    };
    globalThis.sample = async () => (await fetch('/demo/portrait.jpg')).blob();
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
