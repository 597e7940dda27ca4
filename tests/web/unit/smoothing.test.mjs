import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smooth } from '../../../www/dist/src/smoothing.js';

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
  close(shown.reduce((sum, score) => sum + score), 1);
});

test('no time at all does not smooth; a clock that goes back does not overshoot', () => {
  assert.deepEqual(smooth([0], [1], 0.1, 0), [1]);
  assert.deepEqual(smooth([0.5], [1], -3, 0.25), [0.5]);
});
