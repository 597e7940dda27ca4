// Where the square lies that the encoder saw of a face: the same geometry as src/face/crop.rs, at a margin of 1.

import type { KeyPoints, Point, RecognizedFace } from '../src/index.js';

export interface Square {
  center: Point;
  side: number;
  /** Radians, clockwise on screen. */
  roll: number;
}

// Shares of the square's side: the detector's box, the features' length, and how far they lie below the middle.
const BOX = 0.836;
const FEATURES = 0.529;
const DROP = 0.082;
/** Eyes nearer to each other than this share of the box say nothing of the roll. */
const LEAST_EYES = 0.05;

export function squareOf({ box, keyPoints }: Pick<RecognizedFace, 'box' | 'keyPoints'>): Square {
  const { rightEye, leftEye, mouth }: KeyPoints = keyPoints;
  const eyes = between(rightEye, leftEye);
  const [across, down] = [leftEye.x - rightEye.x, leftEye.y - rightEye.y];
  const apart = Math.hypot(across, down);
  const roll = apart > LEAST_EYES * box.width ? Math.atan2(down, across) : 0;
  const features = Math.hypot(apart, Math.hypot(mouth.x - eyes.x, mouth.y - eyes.y));
  const side = 0.5 * (Math.max(box.width, box.height) / BOX + features / FEATURES);
  const middle = between({ x: box.x + box.width / 2, y: box.y + box.height / 2 }, between(eyes, mouth));
  const center = { x: middle.x + DROP * side * Math.sin(roll), y: middle.y - DROP * side * Math.cos(roll) };
  return { center, side, roll };
}

/** The centre square of a picture that was looked at as a whole. */
export function centreSquare({ width, height }: { width: number; height: number }): Square {
  return { center: { x: width / 2, y: height / 2 }, side: Math.min(width, height), roll: 0 };
}

function between(a: Point, b: Point): Point {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
