// Which of several faces the result is about.

import type { RecognizedFace } from '../src/index.js';

/** Another face is taken only if it is larger by this factor: two people side by side must not take turns. */
const LARGER = 1.5;

/** The face that was picked, else the one that was shown, unless another one is much larger. */
export function chooseFace<F extends Pick<RecognizedFace, 'id' | 'box'>>(
  faces: readonly F[],
  shown: number | undefined,
  picked: number | undefined,
): F | undefined {
  const area = ({ box }: F): number => box.width * box.height;
  const [largest] = [...faces].sort((a, b) => area(b) - area(a));
  const last = faces.find(({ id }) => id === shown);
  const stays = last && largest && area(largest) < LARGER * area(last);
  return faces.find(({ id }) => id === picked) ?? (stays ? last : largest);
}
