// What an engine is to the benchmark, and how its worker is started.

import type { Precision } from '../src/index.js';
import type { GpuCounts } from './gpu-counts.js';

/** How a model is run. */
export interface Setting {
  model: string;
  device: 'cpu' | 'webgpu';
  precision: Precision;
  threads: number;
}

/** What models.py says of a model: PyTorch's embedding of the benchmark's picture, and that picture's shape. */
export interface Expected {
  embedding: number[];
  shape: number[];
}

/** An engine with a model, ready to run. */
export interface Running {
  /** One picture's embedding. */
  encode(pixels: Float32Array, shape: readonly number[]): Promise<Float32Array>;
  /** Bytes of its wasm memory; it never shrinks. */
  heap(): Promise<number>;
  /** What it asked of WebGPU since the last call. */
  gpu(): Promise<GpuCounts>;
  /** What it says of itself. */
  info: string;
  close(): void;
}

/** An engine with a model, not started yet. */
export interface Contender {
  name: string;
  create(): Promise<Running>;
}

/** A recognizer of whole frames, from a bitmap to an answer, ready to run. */
export interface RunningFrames {
  answer(frame: ImageBitmap): Promise<string>;
  info: string;
  close(): void;
}

/** The same, not started yet. */
export interface FrameContender {
  name: string;
  create(): Promise<RunningFrames>;
}

let workers = 0;

/** Starts a script of this folder in a worker of its own. */
export function worker(script: string): { worker: Worker; name: string } {
  const name = `${script}-${workers++}`;
  return { worker: new Worker(new URL(`./${script}.js`, import.meta.url), { type: 'module', name }), name };
}

/** The address of a model's file. */
export function modelFile(model: string, file: string): string {
  return new URL(`./models/${model}/${file}`, import.meta.url).href;
}

/** What models.py says of a model. */
export async function expected(model: string): Promise<Expected> {
  return (await fetch(modelFile(model, 'expected.json'))).json();
}

/** The benchmark's picture, as `pixels` in tests/bench/scripts/models.py makes it. */
export function pixels(shape: readonly number[]): Float32Array {
  const side = shape.at(-1) ?? 1;
  return Float32Array.from(
    { length: shape.reduce((product, size) => product * size, 1) },
    (_, index) => (((index * 7919 + Math.floor(index / side) * 31) % 257) - 128) / 128,
  );
}
