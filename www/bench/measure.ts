// Runs contenders side by side: started one after the other, then answering in turns, so that a busy machine hits all.

import type { Contender, FrameContender } from './contenders.js';
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

/** The benchmark's picture, as `pixels` in tests/bench/models.py makes it. */
export function pixels(): Float32Array {
  return Float32Array.from({ length: 3 * SIDE * SIDE }, (_, index) => (((index * 7919 + Math.floor(index / SIDE) * 31) % 257) - 128) / 128);
}

/** Encoders over the same picture. */
export async function compareEncoders(contenders: readonly Contender[], expected: readonly number[], rounds: number, say: (what: string) => void): Promise<EncoderResult[]> {
  const picture = pixels();
  const started = [];
  try {
    for (const { name, create } of contenders) {
      say(`${name}: starting`);
      const begun = performance.now();
      const running = await create();
      const ready = performance.now();
      const embedding = await running.encode(picture);
      const answered = performance.now();
      started.push({ name, running, embedding, createMs: ready - begun, firstMs: answered - ready, gpuStart: await running.gpu(), times: [] as number[] });
    }
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`);
      for (const { running, times } of started) {
        const begun = performance.now();
        await running.encode(picture);
        times.push(performance.now() - begun);
      }
    }
    const results = [];
    for (const { name, running, embedding, createMs, firstMs, gpuStart, times } of started) {
      await running.gpu();
      await running.encode(picture);
      results.push({
        engine: name,
        info: running.info,
        createMs,
        firstMs,
        ...spread(times),
        heapBytes: await running.heap(),
        ...compare(embedding, expected),
        gpuStart,
        gpuPicture: await running.gpu(),
      });
    }
    return results;
  } finally {
    for (const { running } of started) running.close();
  }
}

/** Whole frames, from a bitmap to an expression. */
export async function compareFrames(contenders: readonly FrameContender[], picture: Blob, rounds: number, say: (what: string) => void): Promise<FrameResult[]> {
  // A camera's frame: the portrait in the middle of 640 x 480.
  const source = await createImageBitmap(picture);
  const canvas = new OffscreenCanvas(640, 480);
  canvas.getContext('2d')?.drawImage(source, 80, 0, 480, 480);
  const started = [];
  try {
    for (const { name, create } of contenders) {
      say(`${name}: starting`);
      const begun = performance.now();
      const running = await create();
      const ready = performance.now();
      const answer = await running.answer(await createImageBitmap(canvas));
      started.push({ name, running, answer, createMs: ready - begun, firstMs: performance.now() - ready, times: [] as number[] });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { running, times } of started) {
        const frame = await createImageBitmap(canvas);
        const begun = performance.now();
        await running.answer(frame);
        // The first rounds warm up.
        if (round >= 3) times.push(performance.now() - begun);
      }
    }
    return started.map(({ name, running, answer, createMs, firstMs, times }) => ({
      engine: name,
      info: running.info,
      createMs,
      firstMs,
      ...spread(times),
      answer,
    }));
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
