// Which part of a picture is looked at: pure geometry, in whole pixels, never scaled.

import { CliperError } from '../shared/errors.js';
import type { Box } from '../shared/types.js';
import { inWords, isWithin } from '../shared/values.js';

/** Most pixels that the engine takes, 2^26: the same limit as `MAX_PIXELS` in Rust. */
export const MAX_PIXELS = 2 ** 26;

/** The given box within the picture, the whole picture, or its centre square. */
export function cropOf(width: number, height: number, box?: Box | 'whole'): Box {
  if (!(width >= 1 && height >= 1)) {
    throw new CliperError('invalid-image', `The picture is ${width} x ${height} pixels: give one with at least 1 x 1.`);
  }
  const whole = { x: 0, y: 0, width: Math.floor(width), height: Math.floor(height) };
  const crop = box === 'whole' ? whole : box ? within(width, height, box) : centreSquare(width, height);
  if (crop.width * crop.height > MAX_PIXELS) {
    throw new CliperError(
      'image-too-large',
      `The part to look at is ${crop.width} x ${crop.height} pixels, more than ${MAX_PIXELS} in all: pass a \`box\` around the face, or a smaller picture.`,
    );
  }
  return crop;
}

function centreSquare(width: number, height: number): Box {
  const side = Math.floor(Math.min(width, height));
  return { x: Math.floor((width - side) / 2), y: Math.floor((height - side) / 2), width: side, height: side };
}

function within(width: number, height: number, box: Box): Box {
  const isOfNumbers = [box.x, box.y, box.width, box.height].every((value) => isWithin(value, -Infinity, Infinity));
  if (!isOfNumbers) throw noPixel(width, height, box);
  const left = Math.max(Math.round(box.x), 0);
  const top = Math.max(Math.round(box.y), 0);
  const right = Math.min(Math.round(box.x + box.width), Math.floor(width));
  const bottom = Math.min(Math.round(box.y + box.height), Math.floor(height));
  // Written so that NaN fails as well.
  if (!(right > left && bottom > top)) throw noPixel(width, height, box);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function noPixel(width: number, height: number, box: Box): CliperError {
  const [x, y, across, down] = [box.x, box.y, box.width, box.height].map(inWords);
  return new CliperError(
    'invalid-argument',
    `The box (x ${x}, y ${y}, ${across} x ${down}) has no pixel in the picture of ${width} x ${height}: give it in the picture's own pixels.`,
  );
}
