import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abortable, abortedBy, throwIfAborted } from '../../../www/dist/src/page/abort.js';
import { CliperError, toCliperError } from '../../../www/dist/src/shared/errors.js';

test('is an Error with a code, a message and its cause', () => {
  const cause = new TypeError('inner');
  const error = new CliperError('network', 'Check the connection.', { cause });
  assert.ok(error instanceof Error);
  assert.equal(error.name, 'CliperError');
  assert.equal(error.code, 'network');
  assert.equal(error.cause, cause);
  assert.match(String(error), /^CliperError: Check the connection\.$/);
});

test('keeps what has a known code, and calls the rest a fault of the worker', () => {
  const own = new CliperError('disposed', 'gone');
  assert.equal(toCliperError(own), own);
  const engine = Object.assign(new Error('weights.bin is damaged'), { code: 'damaged-file' });
  assert.equal(toCliperError(engine).code, 'damaged-file');
  assert.equal(toCliperError(engine).message, 'weights.bin is damaged');
  for (const thrown of [new Error('boom'), Object.assign(new Error('boom'), { code: 'ENOENT' }), 'boom']) {
    assert.equal(toCliperError(thrown).code, 'worker-failed');
    assert.match(toCliperError(thrown).message, /boom/);
  }
  for (const thrown of [undefined, null, 7]) assert.equal(toCliperError(thrown).code, 'worker-failed');
});

test("knows a panic by wasm's trap", () => {
  // (module (func (export "f") unreachable))
  const trap = Uint8Array.of(
    0,
    97,
    115,
    109,
    1,
    0,
    0,
    0,
    1,
    4,
    1,
    96,
    0,
    0,
    3,
    2,
    1,
    0,
    7,
    5,
    1,
    1,
    102,
    0,
    0,
    10,
    5,
    1,
    3,
    0,
    0,
    11,
  );
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(trap)).exports;
  let thrown;
  try {
    f();
  } catch (error) {
    thrown = error;
  }
  const error = toCliperError(thrown);
  assert.equal(error.code, 'engine-panicked');
  assert.match(error.message, /create a new one/);
});

test('an aborted signal is `aborted` with its reason, or the error it was aborted with', () => {
  const plain = AbortSignal.abort('why');
  assert.equal(abortedBy(plain).code, 'aborted');
  assert.equal(abortedBy(plain).cause, 'why');
  const error = new CliperError('disposed', 'gone');
  assert.equal(abortedBy(AbortSignal.abort(error)), error);
  assert.throws(() => throwIfAborted(plain), { code: 'aborted' });
  throwIfAborted(new AbortController().signal);
});

test('an abort comes first even when the work does not listen', async () => {
  const controller = new AbortController();
  const waiting = abortable(new Promise(() => {}), controller.signal);
  controller.abort();
  await assert.rejects(waiting, { code: 'aborted' });
  await assert.rejects(abortable(Promise.resolve(1), controller.signal), { code: 'aborted' });
  assert.equal(await abortable(Promise.resolve(1), new AbortController().signal), 1);
  await assert.rejects(abortable(Promise.reject(new Error('own')), new AbortController().signal), /own/);
});
