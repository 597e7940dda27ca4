// When a stream's next frame is sent: at the rate that was asked for, and never so often that the device does nothing else.

import { CliperError } from '../shared/errors.js';
import { inWords, isWithin } from '../shared/values.js';

/** Milliseconds that a frame may come before its time: a video's frames do not fall on our beat. */
const EARLY = 4;
/** A frame that takes longer than its slot is given this many times its own time: the rest is the page's. */
const REST = 1.5;
/** Milliseconds of a frame's own time that are rested for at most: a frozen tab or a closed laptop was not busy for so long. */
const LONGEST = 10_000;

export class Pace {
  readonly #slot: number;
  readonly #takesAll: boolean;
  #next = -Infinity;
  #sent = 0;

  /**
   * @param rate looks a second
   * @param takesAll every frame is taken, and only slow answers hold the next one back: for faces, which are followed on
   * every frame and looked at by the engine's own clock
   */
  constructor(rate: number, takesAll = false) {
    if (!isWithin(rate, Number.MIN_VALUE, 1000)) {
      throw new CliperError(
        'invalid-argument',
        `A rate of ${inWords(rate)} looks a second is not possible: give a number above 0, at most 1000.`,
      );
    }
    this.#slot = 1000 / rate;
    this.#takesAll = takesAll;
  }

  isDue(now: number): boolean {
    return now >= this.#next - EARLY;
  }

  /** A frame is sent. */
  send(now: number): void {
    this.#sent = now;
    if (this.#takesAll) return;
    // The beat goes on where frames come in time, and begins anew where they don't.
    this.#next = now - this.#next < this.#slot ? this.#next + this.#slot : now + this.#slot;
  }

  /** Its answer is here. */
  answer(now: number): void {
    const took = now - this.#sent;
    if (took > this.#slot) this.#next = Math.max(this.#next, now + (REST - 1) * Math.min(took, LONGEST));
  }
}
