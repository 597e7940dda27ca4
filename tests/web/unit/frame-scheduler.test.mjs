// A stream's pace with a clock in our hands: how many frames go, however they come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../../www/dist/src/page/frame-scheduler.js';

/** Frames that are sent of `seconds` of a video, where an answer takes `took` ms and one frame is in flight. */
function sent(pace, { fps, seconds, took, jitter = 0 }) {
  let count = 0;
  let busyUntil = -Infinity;
  let busy = 0;
  let pending;
  for (let index = 0; index < fps * seconds; index++) {
    const now = 1e6 + (index * 1000) / fps + (index % 3) * jitter;
    if (pending !== undefined && now >= pending) {
      pace.answer(pending);
      pending = undefined;
    }
    if (now < busyUntil || !pace.isDue(now)) continue;
    pace.send(now);
    count += 1;
    busy += took;
    busyUntil = pending = now + took;
  }
  return { count, busy: busy / (seconds * 1000) };
}

test("a quick device looks at the rate that was asked for, at any video's rate", () => {
  for (const fps of [15, 24, 30, 60, 144]) {
    for (const jitter of [0, 5]) {
      const { count } = sent(new Pace(8), { fps, seconds: 10, took: 5, jitter });
      assert.ok(Math.abs(count - 80) <= 3, `${fps} fps: ${count}`);
    }
  }
  assert.equal(sent(new Pace(8), { fps: 5, seconds: 10, took: 5 }).count, 50, 'a slow camera is taken whole');
  assert.equal(sent(new Pace(30), { fps: 30, seconds: 10, took: 5 }).count, 300);
});

test('a slow device is left a third of its time', () => {
  for (const took of [130, 300, 900]) {
    for (const takesAll of [false, true]) {
      const { count, busy } = sent(new Pace(8, takesAll), { fps: 60, seconds: 60, took });
      assert.ok(count > 0 && busy < 0.69, `${took} ms: busy ${busy}`);
      assert.ok(busy > 0.5, `${took} ms: busy ${busy}`);
    }
  }
});

test('followed faces take every frame of a quick device', () => {
  assert.equal(sent(new Pace(8, true), { fps: 30, seconds: 10, took: 20 }).count, 300);
});

test('one slow answer delays one frame, not the beat', () => {
  const pace = new Pace(8);
  pace.send(0);
  pace.answer(400);
  assert.equal(pace.isDue(500), false);
  assert.equal(pace.isDue(600), true);
  pace.send(600);
  pace.answer(605);
  assert.equal(pace.isDue(725), true);
});

test('an answer that comes an hour later, as after a closed lid, is not rested for as long', () => {
  const pace = new Pace(8);
  pace.send(0);
  pace.answer(3_600_000);
  assert.equal(pace.isDue(3_606_000), true);
});

test('refuses rates that are none', () => {
  for (const rate of [0, -1, NaN, Infinity, 2000]) assert.throws(() => new Pace(rate), { code: 'invalid-argument' });
});
