// The pump with frames and answers in our hands: one frame in flight, the rest dropped, every way to end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Pump } from '../../../www/dist/src/page/pump.js';
import { CliperError } from '../../../www/dist/src/shared/errors.js';

function setUp(pace) {
  const state = { sent: [], inFlight: 0, most: 0, stopped: 0, lifetime: new AbortController() };
  const source = (onFrame, onEnd) => {
    Object.assign(state, { frame: onFrame, end: onEnd });
    return () => (state.stopped += 1);
  };
  const send = (timestamp) => {
    state.sent.push(timestamp);
    state.inFlight += 1;
    state.most = Math.max(state.most, state.inFlight);
    return new Promise((resolve, reject) => {
      const settle = (finish) => (value) => {
        state.inFlight -= 1;
        finish(value);
      };
      state.answer = settle(resolve);
      state.fail = settle(reject);
    });
  };
  return { pump: new Pump(source, send, state.lifetime.signal, pace), state };
}

const read = async (pump) => {
  const values = [];
  for await (const value of pump) values.push(value);
  return values;
};

test('sends one frame at a time and drops the rest', async () => {
  const { pump, state } = setUp();
  const values = read(pump);
  for (const time of [1, 2, 3]) state.frame(time);
  state.answer('a');
  await turn();
  for (const time of [4, 5]) state.frame(time);
  state.answer('b');
  await turn();
  state.end();
  assert.deepEqual(await values, ['a', 'b']);
  assert.deepEqual(state.sent, [1, 4]);
  assert.equal(state.most, 1);
  const { seen, answered, dropped } = pump.stats;
  assert.deepEqual({ seen, answered, dropped }, { seen: 5, answered: 2, dropped: 3 });
  assert.equal(state.stopped, 1);
});

test('leaves out what is not due, which is no drop', async () => {
  const state = { isDue: true, calls: [] };
  const pace = {
    isDue: () => state.isDue,
    send: () => state.calls.push('send'),
    answer: () => state.calls.push('answer'),
  };
  const { pump, state: source } = setUp(pace);
  const values = read(pump);
  source.frame(1);
  source.frame(2);
  source.answer('a');
  await turn();
  state.isDue = false;
  for (const time of [3, 4]) source.frame(time);
  state.isDue = true;
  source.frame(5);
  source.answer('b');
  await turn();
  source.end();
  assert.deepEqual(await values, ['a', 'b']);
  assert.deepEqual(source.sent, [1, 5]);
  assert.deepEqual(state.calls, ['send', 'answer', 'send', 'answer']);
  const { seen, answered, dropped, skipped } = pump.stats;
  assert.deepEqual({ seen, answered, dropped, skipped }, { seen: 5, answered: 2, dropped: 1, skipped: 2 });
});

test('does not run ahead of a slow consumer', async () => {
  const { pump, state } = setUp();
  const first = pump.next();
  state.frame(1);
  state.answer('a');
  assert.deepEqual(await first, { done: false, value: 'a' });
  state.frame(2);
  state.frame(3);
  assert.deepEqual(state.sent, [1]);
  const second = pump.next();
  state.frame(4);
  state.answer('b');
  assert.equal((await second).value, 'b');
  assert.equal(pump.stats.dropped, 2);
});

test('leaving the loop stops the source', async () => {
  const { pump, state } = setUp();
  const left = (async () => {
    for await (const value of pump) return value;
  })();
  state.frame(1);
  state.answer('a');
  assert.equal(await left, 'a');
  assert.equal(state.stopped, 1);
  assert.deepEqual(await pump.next(), { done: true, value: undefined });
});

test('stop ends at once, and a late answer is not delivered', async () => {
  const { pump, state } = setUp();
  const values = read(pump);
  state.frame(1);
  pump.stop();
  assert.deepEqual(await values, []);
  state.answer('late');
  await turn();
  state.frame(2);
  assert.equal(pump.stats.answered, 0);
  assert.equal(state.sent.length, 1);
});

test('a disposed recognizer ends its streams quietly, also those that never began', async () => {
  const { pump, state } = setUp();
  const values = read(pump);
  state.frame(1);
  const error = new CliperError('disposed', 'gone');
  state.lifetime.abort(error);
  state.fail(error);
  assert.deepEqual(await values, []);
  const idle = setUp();
  idle.state.lifetime.abort();
  assert.deepEqual(await read(idle.pump), []);
});

test('an error ends the iteration once', async () => {
  const { pump, state } = setUp();
  const values = read(pump);
  state.frame(1);
  state.fail(new CliperError('engine-panicked', 'stopped'));
  await assert.rejects(values, { code: 'engine-panicked' });
  assert.deepEqual(await read(pump), []);
});

test('an error while nobody waits is kept for the next call', async () => {
  const { pump, state } = setUp();
  const first = pump.next();
  state.frame(1);
  state.answer('a');
  await first;
  state.end(new CliperError('video-failed', 'broken'));
  await assert.rejects(pump.next(), { code: 'video-failed' });
  assert.equal((await pump.next()).done, true);
});

test('a source that ends while it starts', async () => {
  let stopped = 0;
  const source = (_, onEnd) => {
    onEnd();
    return () => (stopped += 1);
  };
  const pump = new Pump(source, () => Promise.resolve(), new AbortController().signal);
  assert.deepEqual(await read(pump), []);
  assert.equal(stopped, 1);
});

test('what is told at the end is told once, after the frame that is on its way', async () => {
  for (const finish of ['answer', 'fail']) {
    const ends = [];
    let settle;
    let frame;
    const source = (onFrame) => {
      frame = onFrame;
      return () => {};
    };
    const send = () => new Promise((resolve, reject) => (settle = { answer: resolve, fail: reject }));
    const pump = new Pump(source, send, new AbortController().signal, undefined, () => ends.push('end'));
    const first = pump.next();
    frame(1);
    pump.stop();
    assert.deepEqual(await first, { done: true, value: undefined });
    // The worker would open the stream again for a frame that reaches it after the end.
    assert.deepEqual(ends, []);
    settle[finish](new Error('gone'));
    await turn();
    assert.deepEqual(ends, ['end']);
    pump.stop();
    assert.deepEqual(ends, ['end']);
  }
});

test('a pump that ends idle tells it at once', () => {
  const ends = [];
  const pump = new Pump(
    () => () => {},
    async () => {},
    new AbortController().signal,
    undefined,
    () => ends.push('end'),
  );
  pump.stop();
  assert.deepEqual(ends, ['end']);
});
