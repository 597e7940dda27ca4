import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cropOf, MAX_PIXELS } from '../../../www/dist/src/page/crop.js';

const throws = (code, run) => assert.throws(run, (error) => error.code === code && error.message.length > 20);

test('the centre square, in whole pixels', () => {
  assert.deepEqual(cropOf(640, 480), { x: 80, y: 0, width: 480, height: 480 });
  assert.deepEqual(cropOf(3, 8), { x: 0, y: 2, width: 3, height: 3 });
  assert.deepEqual(cropOf(1, 1), { x: 0, y: 0, width: 1, height: 1 });
  assert.deepEqual(cropOf(20_000, 64), { x: 9968, y: 0, width: 64, height: 64 });
});

test('the whole picture', () => {
  assert.deepEqual(cropOf(640.4, 480, 'whole'), { x: 0, y: 0, width: 640, height: 480 });
  throws('invalid-image', () => cropOf(0, 480, 'whole'));
  throws('image-too-large', () => cropOf(20_000, 20_000, 'whole'));
});

test('a box, rounded and kept within the picture', () => {
  assert.deepEqual(cropOf(100, 100, { x: 9.6, y: 20, width: 30, height: 40 }), { x: 10, y: 20, width: 30, height: 40 });
  assert.deepEqual(cropOf(100, 50, { x: -10, y: 30, width: 50, height: 50 }), { x: 0, y: 30, width: 40, height: 20 });
});

test('refuses what has no pixels', () => {
  for (const [width, height] of [
    [0, 0],
    [0, 5],
    [5, 0],
    [NaN, 5],
  ])
    throws('invalid-image', () => cropOf(width, height));
  for (const box of [
    { x: 100, y: 0, width: 5, height: 5 },
    { x: 0, y: 0, width: 0, height: 5 },
    { x: 5, y: 5, width: -3, height: 4 },
    { x: NaN, y: 0, width: 5, height: 5 },
  ]) {
    throws('invalid-argument', () => cropOf(100, 100, box));
  }
});

test('refuses more pixels than the engine takes, unless a box makes them fewer', () => {
  throws('image-too-large', () => cropOf(20_000, 20_000));
  assert.equal(cropOf(20_000, 20_000, { x: 0, y: 0, width: 2 ** 13, height: 2 ** 13 }).width ** 2, MAX_PIXELS);
});
