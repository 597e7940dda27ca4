// Smoothing of scores for people, in seconds rather than frames: pure, so it looks the same at any rate.

import type { Prediction } from '../shared/types.js';

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
  // A clock that tells no time, and one that goes back, move nothing.
  const rest = Math.exp(-Math.max(elapsed || 0, 0) / time);
  return target.map((value, index) => value + ((shown[index] ?? value) - value) * rest);
}

/** How a display calms the answers. */
export interface DisplayOptions {
  /** Seconds in which scores move 63 % of the way to the newest answer. Default: 0.25. */
  time?: number;
  /** Another expression is named only once its score is higher by this, so that two alike do not flicker. Default: 0.1. */
  hysteresis?: number;
  /**
   * The top score below which the expression is `uncertain`; above it by half the hysteresis it is certain again.
   * Default: `info.uncertainBelow`, the bundle's own, is for you to pass; without it nothing is uncertain.
   */
  uncertainBelow?: number | undefined;
}

/** What a display shows at one moment. */
export interface Displayed {
  /** The expressions' scores, moving towards the newest answer; they add up to 1. */
  scores: number[];
  /** The expression that is named, with the score that is shown. */
  top: { name: string; score: number };
  /** The named expression's score is below the threshold: say so rather than name it. */
  uncertain: boolean;
  /** When, in milliseconds. */
  at: number;
}

/**
 * What to show now: `before` moved towards the newest answer. Call it once a display frame, whether or not there is a
 * new answer: between two answers the scores move on. A clock that goes back moves nothing.
 *
 * @param before what it returned last; undefined at first and after a pause, then the answer is taken as it is
 * @param answer the newest answer
 * @param now milliseconds, as of `requestAnimationFrame`
 *
 * @example
 * requestAnimationFrame(function draw(now) {
 *   requestAnimationFrame(draw);
 *   if (!answer) return;
 *   shown = display(shown, answer, now, { uncertainBelow: recognizer.info.uncertainBelow });
 *   label.textContent = shown.uncertain ? 'uncertain' : shown.top.name;
 * });
 */
export function display(
  before: Displayed | undefined,
  { expressions }: Pick<Prediction, 'expressions'>,
  now: number,
  { time = 0.25, hysteresis = 0.1, uncertainBelow }: DisplayOptions = {},
): Displayed {
  const scores = smooth(
    before?.scores,
    expressions.map(({ score }) => score),
    (now - (before?.at ?? now)) / 1000,
    time,
  );
  const score = (index: number): number => scores[index] ?? 0;
  const best = scores.reduce((best, value, index) => (value > score(best) ? index : best), 0);
  const named = expressions.findIndex(({ name }) => name === before?.top.name);
  const top = named < 0 || score(best) >= score(named) + hysteresis ? best : named;
  // Hysteresis here too: a score that wavers about the threshold does not blink.
  const threshold = uncertainBelow === undefined ? 0 : uncertainBelow + (before?.uncertain ? hysteresis / 2 : 0);
  return {
    scores,
    top: { name: expressions[top]?.name ?? '', score: score(top) },
    uncertain: score(top) < threshold,
    at: Math.max(now, before?.at ?? now),
  };
}
