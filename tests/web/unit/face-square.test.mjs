import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centreSquare, squareOf } from '../../../www/dist/demo/face-square.js';

/** A face with the medians that src/face/crop.rs is made of, in a square of a centre, side and roll. */
function faceIn({ x, y, side, roll }) {
  const [sin, cos] = [Math.sin(roll), Math.cos(roll)];
  const place = (right, down) => ({
    x: x + side * (right * cos - down * sin),
    y: y + side * (right * sin + down * cos),
  });
  // The eyes 0.4 apart, the mouth as far below them as makes 0.529 of both; the mean middle 0.082 below the square's.
  const drop = Math.sqrt(0.529 ** 2 - 0.4 ** 2);
  const eyes = 0.082 - drop / 2;
  const middle = place(0, 0.082);
  const box = { x: middle.x - 0.418 * side, y: middle.y - 0.418 * side, width: 0.836 * side, height: 0.836 * side };
  const keyPoints = { rightEye: place(-0.2, eyes), leftEye: place(0.2, eyes), mouth: place(0, eyes + drop) };
  return { box, keyPoints };
}

test('the square that a face lies in is found again, rolled or not', () => {
  for (const roll of [0, 0.3, -0.7, 3]) {
    const asked = { x: 140, y: 90, side: 64, roll };
    const found = squareOf(faceIn(asked));
    const values = [found.center.x, found.center.y, found.side, found.roll];
    for (const [index, value] of [140, 90, 64, roll].entries())
      assert.ok(Math.abs(values[index] - value) < 1e-9, `${values} for ${JSON.stringify(asked)}`);
  }
});

test('a profile, whose eyes fall together, is not rolled', () => {
  const { box, keyPoints } = faceIn({ x: 0, y: 0, side: 100, roll: 0 });
  const { rightEye } = keyPoints;
  const leftEye = { x: rightEye.x + 1, y: rightEye.y + 2 };
  assert.equal(squareOf({ box, keyPoints: { ...keyPoints, leftEye } }).roll, 0);
});

test('without faces it is the centre square', () => {
  assert.deepEqual(centreSquare({ width: 600, height: 400 }), { center: { x: 300, y: 200 }, side: 400, roll: 0 });
});
