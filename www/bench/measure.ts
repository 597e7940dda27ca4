// Runs contenders side by side: started one after the other, then answering in turns, so that a busy machine hits all.

import {
  type Contender,
  type Expected,
  type FrameContender,
  pixels,
  type Running,
  type RunningFrames,
} from './contenders.js';
import type { GpuCounts } from './gpu-counts.js';

/** What every engine's times are. */
interface Times {
  /** From nothing to ready: download, compile, start. */
  createMs: number;
  /** The first picture after that. */
  firstMs: number;
  /** By the clock. */
  medianMs: number;
  p90Ms: number;
  /** Computed by all threads of the page and of WebGPU, where `cargo pkg bench` tells: the median of the turns. */
  cpuMs: number;
  leastCpuMs: number;
  /** Turns, and pictures in each. */
  rounds: number;
  batch: number;
}

/** An engine that did not get to the end, and why. */
export interface Failed {
  engine: string;
  failed: string;
}

/** What one engine did with one model. */
export interface EncoderResult extends Times {
  engine: string;
  info: string;
  heapBytes: number;
  /** Of the embedding with PyTorch's. */
  cosine: number;
  /** Largest difference of a value, over the largest value. */
  relativeError: number;
  /** WebGPU's work up to the first answer, and for one warm picture. */
  gpuStart: GpuCounts;
  gpuPicture: GpuCounts;
}

export interface FrameResult extends Times {
  engine: string;
  info: string;
  answer: string;
}

/** Encoders over the same picture. */
export async function compareEncoders(
  contenders: readonly Contender[],
  { embedding, shape }: Expected,
  rounds: number,
  warmup: number,
  say: (what: string) => void,
): Promise<(EncoderResult | Failed)[]> {
  const picture = pixels(shape);
  const race = {
    contenders,
    rounds,
    warmup,
    say,
    question: () => Promise.resolve(picture),
    ask: (running: Running) => running.encode(picture, shape),
    note: (running: Running) => running.gpu(),
  };
  return run(race, async ({ name, running, first, noted, ...times }) => {
    await running.gpu();
    await running.encode(picture, shape);
    return {
      engine: name,
      info: running.info,
      ...times,
      heapBytes: await running.heap(),
      ...compare(first, embedding),
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
): Promise<(FrameResult | Failed)[]> {
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
  return run(race, ({ name, running: _, first, noted, ...times }) => ({
    engine: name,
    info: noted,
    ...times,
    answer: first,
  }));
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
interface Finished<R, A, N> extends Times {
  name: string;
  running: R;
  first: A;
  noted: N;
}

/** A turn has so many pictures that it takes about this long, or the computed time would drown in its own reading. */
const TURN_MS = 50;
const MOST_IN_A_TURN = 20;

/** What all threads of the page and of WebGPU have computed so far; only `cargo pkg bench` can tell. */
async function computedMs(): Promise<number> {
  return (await (globalThis as { computedMs?: () => Promise<number> }).computedMs?.()) ?? NaN;
}

/** Starts each and lets it answer, then all by turns; `conclude` makes the results while they still run. */
async function run<R extends { close(): void }, Q, A, N, T>(
  race: Race<R, Q, A, N>,
  conclude: (finished: Finished<R, A, N>) => T | Promise<T>,
): Promise<(T | Failed)[]> {
  const { contenders, rounds, warmup, say, question, ask, note } = race;
  const started = [];
  const failures: Failed[] = [];
  try {
    for (const { name, create } of contenders) {
      say(`${name}: starting`);
      const begun = performance.now();
      try {
        const running = await create();
        const ready = performance.now();
        const first = await ask(running, await question());
        const firstMs = performance.now() - ready;
        const noted = await note(running);
        started.push({ name, running, first, noted, createMs: ready - begun, firstMs, turns: [] as Turn[] });
      } catch (thrown) {
        failures.push({ engine: name, failed: String(thrown) });
      }
    }
    let batch = 1;
    for (let round = 0; round < warmup + rounds; round++) {
      say(`round ${round + 1} of ${warmup + rounds}`);
      if (round > 0 && round <= warmup) {
        const fastest = Math.min(...started.flatMap(({ turns }) => turns.at(-1)?.times ?? []));
        batch = Math.min(MOST_IN_A_TURN, Math.ceil(TURN_MS / fastest));
      }
      // Each goes first as often as the others.
      for (let place = 0; place < started.length; place++) {
        const { running, turns } = started[(place + round) % started.length] as (typeof started)[number];
        turns.push(await turn(batch, question, (asked) => ask(running, asked)));
      }
    }
    const results = [];
    for (const { turns, ...contender } of started)
      results.push(await conclude({ ...contender, ...spread(turns.slice(warmup)), batch }));
    return [...results, ...failures];
  } finally {
    for (const { running } of started) running.close();
  }
}

/** Some answers of one engine, each by the clock, and what one of them took to compute. */
interface Turn {
  times: number[];
  cpuMs: number;
}

async function turn<Q>(batch: number, question: () => Promise<Q>, ask: (asked: Q) => Promise<unknown>): Promise<Turn> {
  const questions = await Promise.all(Array.from({ length: batch }, question));
  const computed = await computedMs();
  const times = [];
  for (const asked of questions) {
    const begun = performance.now();
    await ask(asked);
    times.push(performance.now() - begun);
  }
  return { times, cpuMs: ((await computedMs()) - computed) / batch };
}

function spread(turns: readonly Turn[]): Omit<Times, 'createMs' | 'firstMs' | 'batch'> {
  const sorted = (values: number[]): number[] => values.sort((a, b) => a - b);
  const at = (values: readonly number[], share: number): number =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
  const times = sorted(turns.flatMap((turn) => turn.times));
  const cpu = sorted(turns.map((turn) => turn.cpuMs));
  return {
    medianMs: at(times, 0.5),
    p90Ms: at(times, 0.9),
    cpuMs: at(cpu, 0.5),
    leastCpuMs: at(cpu, 0),
    rounds: turns.length,
  };
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
