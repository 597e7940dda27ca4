// Faces of a part of a picture, moved into the whole picture.

import type { CompactFrame } from '../shared/protocol.js';
import type { Box, Point } from '../shared/types.js';

/** Faces of a part of a picture, in the whole picture's pixels. */
export function moveFaces(frame: CompactFrame, { x, y }: Pick<Box, 'x' | 'y'>): CompactFrame {
  if (x === 0 && y === 0) return frame;
  const move = (point: Point): Point => ({ x: point.x + x, y: point.y + y });
  const faces = frame.faces.map((face) => {
    const { rightEye, leftEye, nose, mouth, rightEar, leftEar } = face.keyPoints;
    return {
      ...face,
      box: { ...face.box, ...move(face.box) },
      keyPoints: {
        rightEye: move(rightEye),
        leftEye: move(leftEye),
        nose: move(nose),
        mouth: move(mouth),
        rightEar: move(rightEar),
        leftEar: move(leftEar),
      },
    };
  });
  return { ...frame, faces };
}
