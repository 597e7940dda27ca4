// Smoothing of scores for display, in seconds rather than frames: pure, so it looks the same at any rate.

/**
 * Moves `shown` towards `target`: after `time` seconds 63 % of the way is done, after three times that 95 %.
 * Two steps of half the `elapsed` give what one whole step gives, so the display's rate does not matter.
 * Scores that add up to 1 still do.
 *
 * @param shown what is on screen; undefined or of another length at first, then `target` is taken as it is
 * @param target the newest scores
 * @param elapsed seconds since the last step
 * @param time seconds; 0 does not smooth
 *
 * @example
 * shown = smooth(shown, answer.expressions.map(({ score }) => score), (now - last) / 1000, 0.25);
 */
export function smooth(
  shown: readonly number[] | undefined,
  target: readonly number[],
  elapsed: number,
  time: number,
): number[] {
  if (shown?.length !== target.length || !(time > 0)) return [...target];
  const rest = Math.exp(-Math.max(elapsed, 0) / time);
  return target.map((value, index) => value + ((shown[index] ?? value) - value) * rest);
}
