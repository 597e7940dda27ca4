import assert from 'node:assert/strict';
import { test } from 'node:test';
import { display, smooth } from '../../../www/dist/src/page/smoothing.js';

const close = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}, not ${expected}`);

test('the first scores are taken as they are, as a copy', () => {
  const target = [0.25, 0.75];
  const shown = smooth(undefined, target, 1, 0.3);
  assert.deepEqual(shown, target);
  assert.notEqual(shown, target);
});

test('another number of expressions starts over', () => {
  assert.deepEqual(smooth([1], [0.5, 0.5], 0.01, 1), [0.5, 0.5]);
});

test('63 % of the way after one time, whatever the rate of steps', () => {
  close(smooth([0], [1], 0.25, 0.25)[0], 1 - Math.exp(-1));
  let shown = [0];
  for (let step = 0; step < 60; step++) shown = smooth(shown, [1], 0.25 / 60, 0.25);
  close(shown[0], 1 - Math.exp(-1));
});

test('scores that add up to 1 still do', () => {
  const shown = smooth([0.7, 0.2, 0.1], [0.1, 0.1, 0.8], 0.1, 0.4);
  close(
    shown.reduce((sum, score) => sum + score),
    1,
  );
});

test('no time at all does not smooth; a clock that goes back does not overshoot', () => {
  assert.deepEqual(smooth([0], [1], 0.1, 0), [1]);
  assert.deepEqual(smooth([0.5], [1], -3, 0.25), [0.5]);
});

const answer = (scores) => ({
  expressions: Object.entries(scores).map(([name, score]) => ({ name, score, descriptors: [] })),
});

test('the first answer is shown as it is; later ones are moved to, at any rate of display', () => {
  const first = display(undefined, answer({ a: 0.25, b: 0.75 }), 1000);
  assert.deepEqual(first, { scores: [0.25, 0.75], top: { name: 'b', score: 0.75 }, uncertain: false, at: 1000 });
  const next = answer({ a: 0.05, b: 0.95 });
  const once = display(first, next, 1250, { time: 0.25 });
  close(once.scores[1], 0.95 - 0.2 * Math.exp(-1));
  let often = first;
  for (let frame = 1; frame <= 25; frame++) often = display(often, next, 1000 + frame * 10, { time: 0.25 });
  close(often.scores[1], once.scores[1]);
  close(often.scores[0] + often.scores[1], 1);
});

test('what is shown is not changed in place', () => {
  const first = Object.freeze(display(undefined, answer({ a: 0.4, b: 0.6 }), 0));
  Object.freeze(first.scores);
  display(first, answer({ a: 0.6, b: 0.4 }), 100);
  assert.deepEqual(first.scores, [0.4, 0.6]);
});

test('two expressions alike do not flicker; a clear lead changes the name', () => {
  const options = { time: 0, hysteresis: 0.1 };
  let shown = display(undefined, answer({ a: 0.51, b: 0.49 }), 0, options);
  for (const [time, a, name] of [
    [1, 0.48, 'a'],
    [2, 0.46, 'a'],
    [3, 0.44, 'b'],
    [4, 0.52, 'b'],
    [5, 0.56, 'a'],
  ]) {
    shown = display(shown, answer({ a, b: 1 - a }), time, options);
    assert.equal(shown.top.name, name, `at ${time}`);
    close(shown.top.score, name === 'a' ? a : 1 - a);
  }
});

test('uncertain below the threshold, certain again only well above it', () => {
  const options = { time: 0, hysteresis: 0.1, uncertainBelow: 0.5 };
  let shown;
  for (const [time, score, uncertain] of [
    [0, 0.6, false],
    [1, 0.49, true],
    [2, 0.52, true],
    [3, 0.56, false],
    [4, 0.51, false],
  ]) {
    shown = display(shown, answer({ a: score, b: 0.3, c: 0.7 - score }), time, options);
    assert.equal(shown.uncertain, uncertain, `at ${time}`);
  }
  assert.equal(display(undefined, answer({ a: 0.1, b: 0.1 }), 0).uncertain, false, 'without a threshold');
});

test('a clock that goes back moves nothing, and does not move twice when it comes back', () => {
  const first = display(undefined, answer({ a: 0, b: 1 }), 1000, { time: 1 });
  const next = answer({ a: 1, b: 0 });
  const back = display(first, next, 500, { time: 1 });
  assert.deepEqual([back.scores, back.at], [[0, 1], 1000]);
  close(display(back, next, 1100, { time: 1 }).scores[0], 1 - Math.exp(-0.1));
});

test('another model with other expressions starts over', () => {
  const first = display(undefined, answer({ a: 0.2, b: 0.8 }), 0);
  const other = display(first, answer({ x: 0.5, y: 0.3, z: 0.2 }), 10);
  assert.deepEqual([other.scores, other.top.name], [[0.5, 0.3, 0.2], 'x']);
});
