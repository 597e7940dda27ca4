// One aggregate progress over all stages of a start: it never falls, and ends at its total.

import type { Progress, Stage } from '../shared/types.js';

// In parts of 100, by what a visitor waits for: the network first, then the device's pipelines.
const PARTS: readonly [Stage, number][] = [
  ['download', 60],
  ['compile', 5],
  ['verify', 5],
  ['upload', 5],
  ['warmup', 25],
  ['ready', 0],
];
const TOTAL = PARTS.reduce((sum, [, part]) => sum + part, 0);

export class ProgressMeter {
  #loaded = -1;
  #stage = 0;

  constructor(private readonly report: ((progress: Progress) => void) | undefined) {}

  /** Reports that `fraction` (0..1) of `stage` is done, and with it every earlier stage. */
  advance(stage: Stage, fraction: number): void {
    const index = PARTS.findIndex(([name]) => name === stage);
    // A second device starts over; a visitor's bar does not.
    if (index < this.#stage) return;
    const before = PARTS.slice(0, index).reduce((sum, [, part]) => sum + part, 0);
    const part = PARTS[index]?.[1] ?? 0;
    // A bundle without bytes gives 0/0.
    const loaded = before + part * Math.min(Math.max(fraction || 0, 0), 1);
    if (loaded < this.#loaded || (loaded === this.#loaded && index === this.#stage)) return;
    this.#loaded = loaded;
    this.#stage = index;
    this.report?.({ stage, loaded, total: TOTAL });
  }
}
