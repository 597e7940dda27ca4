// Moves the bars towards the newest answer at the display's rate, and tells screen readers of it rarely.

import { type Displayed, display, type Prediction } from '../src/index.js';
import { result, settings, threshold } from './page.js';
import { fill, nameOf, strings } from './strings.js';

/** Milliseconds between two announcements. */
const QUIET = 4000;

export class MovingBars {
  #answer: Prediction | undefined;
  #shown: Displayed | undefined;
  #announced = '';
  #announcedAt = -Infinity;

  /** Until the signal aborts. */
  constructor(private readonly signal: AbortSignal) {
    requestAnimationFrame(this.#step);
  }

  aim(answer: Prediction): void {
    // Where other expressions are answered, nothing moves from one to another.
    if (this.#answer && namesOf(this.#answer) !== namesOf(answer)) this.#shown = undefined;
    this.#answer = answer;
  }

  /** Nothing to move towards, until there is again. */
  stop(): void {
    this.#answer = undefined;
    this.#shown = undefined;
  }

  readonly #step = (now: number): void => {
    if (this.signal.aborted) return;
    requestAnimationFrame(this.#step);
    if (!this.#answer) return;
    const options = { time: settings.get('smoothing'), uncertainBelow: threshold() };
    this.#shown = display(this.#shown, this.#answer, now, options);
    result.scores(this.#shown.scores, this.#shown);
    this.#announce(this.#shown, now);
  };

  #announce({ top, uncertain }: Displayed, now: number): void {
    const name = uncertain ? strings.uncertain : nameOf(top.name);
    if (name === this.#announced || now - this.#announcedAt < QUIET) return;
    this.#announced = name;
    this.#announcedAt = now;
    result.announce(fill(strings.announced, { name }));
  }
}

function namesOf({ expressions }: Prediction): string {
  return expressions.map(({ name }) => name).join('\n');
}
