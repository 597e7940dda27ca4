// The engines that are compared, each in a worker of its own, behind one interface.

import { ExpressionRecognizer, ImageEncoder, type Precision } from '../src/index.js';
import { Caller } from './calls.js';
import { type GpuCounts, takeCounts } from './gpu-counts.js';

/** Side of the models' pictures. */
export const SIDE = 224;

/** An engine with a model, ready to run. */
export interface Running {
  /** One picture's embedding. */
  encode(pixels: Float32Array): Promise<Float32Array>;
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

/** How a model is run. */
export interface Setting {
  model: string;
  device: 'cpu' | 'webgpu';
  precision: Precision;
  threads: number;
}

let workers = 0;

function worker(script: string): { worker: Worker; name: string } {
  const name = `${script}-${workers++}`;
  return { worker: new Worker(new URL(`./${script}.js`, import.meta.url), { type: 'module', name }), name };
}

/** cliper with a bundle. */
export function cliper({ model, device, precision, threads }: Setting): Contender {
  return {
    name: 'cliper',
    async create() {
      let name = '';
      const encoder = await ImageEncoder.create({
        model: new URL(`./models/${model}/bundle/model.json`, import.meta.url),
        device,
        precision,
        threads,
        cache: false,
        createWorker: () => {
          const made = worker('cliper-worker');
          name = made.name;
          return made.worker;
        },
      });
      const { info } = encoder;
      return {
        encode: (pixels) => encoder.encode(pixels),
        heap: async () => (await encoder.counters()).memoryBytes,
        gpu: () => takeCounts(name),
        info: `${info.device}, ${info.adapter}, ${info.precision}`,
        close: () => encoder.dispose(),
      };
    },
  };
}

/** onnxruntime-web with the same weights as ONNX. */
export function onnxruntime({ model, device, precision, threads }: Setting): Contender {
  return {
    name: 'onnxruntime-web',
    async create() {
      const { worker: made, name } = worker('ort-worker');
      const caller = new Caller(made);
      const provider = device === 'cpu' ? 'wasm' : 'webgpu';
      const address = new URL(`./models/${model}/${precision}.onnx`, import.meta.url).href;
      const version = await caller.call<string>('create', { model: address, provider, threads });
      return {
        encode: (pixels) => caller.call('encode', { pixels, shape: [1, 3, SIDE, SIDE] }),
        heap: () => caller.call('heap', null),
        gpu: () => takeCounts(name),
        info: `${version}, ${provider}, ${threads} threads`,
        close: () => caller.close(),
      };
    },
  };
}

/** A recognizer of whole frames, from a bitmap to an expression, ready to run. */
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

/** cliper's face detector and built-in model on the CPU. */
export const cliperFrames: FrameContender = {
  name: 'cliper',
  async create() {
    const recognizer = await ExpressionRecognizer.create({ device: 'cpu', cache: false, faces: true });
    return {
      answer: async (frame) => (await recognizer.recognize(frame)).faces[0]?.top?.name ?? 'no face',
      close: () => recognizer.dispose(),
      info: recognizer.info.adapter,
    };
  },
};

/** human's face detector and emotion net on tfjs wasm. */
export const humanFrames: FrameContender = {
  name: 'human',
  async create() {
    const caller = new Caller(worker('human-worker').worker);
    const version = await caller.call<string>('create', null);
    return {
      answer: async (frame) => {
        const found = await caller.call<{ emotion: string } | null>('detect', frame);
        return found?.emotion ?? 'no face';
      },
      close: () => caller.close(),
      info: `${version}, tfjs wasm`,
    };
  },
};
