// Runs contenders side by side: started one after the other, then answering in turns, so that a busy machine hits all.

import type { Contender, FrameContender, Running, RunningFrames } from './contenders.js';
import { SIDE } from './contenders.js';
import type { GpuCounts } from './gpu-counts.js';

/** What one engine did with one model. */
export interface EncoderResult {
  engine: string;
  info: string;
  /** From nothing to ready: download, compile, start. */
  createMs: number;
  /** The first picture after that. */
  firstMs: number;
  medianMs: number;
  p90Ms: number;
  rounds: number;
  heapBytes: number;
  /** Of the embedding with PyTorch's. */
  cosine: number;
  /** Largest difference of a value, over the largest value. */
  relativeError: number;
  /** WebGPU's work up to the first answer, and for one warm picture. */
  gpuStart: GpuCounts;
  gpuPicture: GpuCounts;
}

export interface FrameResult {
  engine: string;
  info: string;
  createMs: number;
  firstMs: number;
  medianMs: number;
  p90Ms: number;
  rounds: number;
  answer: string;
}

/** The benchmark's picture, as `pixels` in tests/bench/scripts/models.py makes it. */
export function pixels(): Float32Array {
  return Float32Array.from(
    { length: 3 * SIDE * SIDE },
    (_, index) => (((index * 7919 + Math.floor(index / SIDE) * 31) % 257) - 128) / 128,
  );
}

/** Encoders over the same picture. */
export async function compareEncoders(
  contenders: readonly Contender[],
  expected: readonly number[],
  rounds: number,
  say: (what: string) => void,
): Promise<EncoderResult[]> {
  const picture = pixels();
  const race = {
    contenders,
    rounds,
    warmup: 0,
    say,
    question: () => Promise.resolve(picture),
    ask: (running: Running) => running.encode(picture),
    note: (running: Running) => running.gpu(),
  };
  return run(race, async ({ name, running, first, noted, ...times }) => {
    await running.gpu();
    await running.encode(picture);
    return {
      engine: name,
      info: running.info,
      ...times,
      heapBytes: await running.heap(),
      ...compare(first, expected),
      gpuStart: noted,
      gpuPicture: await running.gpu(),
    };
  });
}

/** Whole frames, from a bitmap to an expression. */
export async function compareFrames(
  contenders: readonly FrameContender[],
  picture: Blob,
  rounds: number,
  say: (what: string) => void,
): Promise<FrameResult[]> {
  // A camera's frame: the portrait in the middle of 640 x 480.
  const source = await createImageBitmap(picture);
  const canvas = new OffscreenCanvas(640, 480);
  canvas.getContext('2d')?.drawImage(source, 80, 0, 480, 480);
  const race = {
    contenders,
    rounds,
    warmup: 3,
    say,
    question: () => createImageBitmap(canvas),
    ask: (running: RunningFrames, frame: ImageBitmap) => running.answer(frame),
    note: ({ info }: RunningFrames) => info,
  };
  return run(race, ({ name, first, noted, ...times }) => ({ engine: name, info: noted, ...times, answer: first }));
}

/** What is asked of contenders, and how often. */
interface Race<R, Q, A, N> {
  contenders: readonly { name: string; create(): Promise<R> }[];
  rounds: number;
  /** Rounds that are not counted. */
  warmup: number;
  say: (what: string) => void;
  /** What to ask next, made before the clock starts. */
  question: () => Promise<Q>;
  ask: (running: R, question: Q) => Promise<A>;
  /** What to keep of a contender after its first answer. */
  note: (running: R) => N | Promise<N>;
}

/** A contender at the end of a race. */
interface Finished<R, A, N> {
  name: string;
  running: R;
  first: A;
  noted: N;
  createMs: number;
  firstMs: number;
  medianMs: number;
  p90Ms: number;
  rounds: number;
}

/** Starts each and lets it answer, then all by turns; `conclude` makes the results while they still run. */
async function run<R extends { close(): void }, Q, A, N, T>(
  race: Race<R, Q, A, N>,
  conclude: (finished: Finished<R, A, N>) => T | Promise<T>,
): Promise<T[]> {
  const { contenders, rounds, warmup, say, question, ask, note } = race;
  const started = [];
  try {
    for (const { name, create } of contenders) {
      say(`${name}: starting`);
      const begun = performance.now();
      const running = await create();
      const ready = performance.now();
      const first = await ask(running, await question());
      const firstMs = performance.now() - ready;
      const noted = await note(running);
      started.push({ name, running, first, noted, createMs: ready - begun, firstMs, times: [] as number[] });
    }
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`);
      for (const { running, times } of started) {
        const asked = await question();
        const begun = performance.now();
        await ask(running, asked);
        if (round >= warmup) times.push(performance.now() - begun);
      }
    }
    const results = [];
    for (const { times, ...contender } of started) results.push(await conclude({ ...contender, ...spread(times) }));
    return results;
  } finally {
    for (const { running } of started) running.close();
  }
}

function spread(times: readonly number[]): { medianMs: number; p90Ms: number; rounds: number } {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { medianMs: at(0.5), p90Ms: at(0.9), rounds: times.length };
}

function compare(embedding: Float32Array, expected: readonly number[]): { cosine: number; relativeError: number } {
  let dot = 0;
  let own = 0;
  let other = 0;
  let worst = 0;
  let largest = 0;
  expected.forEach((wanted, index) => {
    const found = embedding[index] ?? NaN;
    dot += wanted * found;
    own += found * found;
    other += wanted * wanted;
    worst = Math.max(worst, Math.abs(wanted - found));
    largest = Math.max(largest, Math.abs(wanted));
  });
  return { cosine: dot / Math.sqrt(own * other), relativeError: worst / largest };
}
