// onnxruntime-web in a worker of its own, its memory and its use of WebGPU counted.

import { answer } from './calls.js';
import { countGpu } from './gpu-counts.js';

countGpu();

// Its heap is a WebAssembly.Memory that its script makes; the largest one is it.
const memories: WebAssembly.Memory[] = [];
const OriginalMemory = WebAssembly.Memory;
WebAssembly.Memory = class extends OriginalMemory {
  constructor(descriptor: WebAssembly.MemoryDescriptor) {
    super(descriptor);
    memories.push(this);
  }
};

/** The little of onnxruntime-web's types that is used here. */
interface Ort {
  env: { wasm: { numThreads: number; wasmPaths: string }; versions: { web: string } };
  InferenceSession: { create(model: string, options: object): Promise<OrtSession> };
  Tensor: new (type: 'float32', data: Float32Array, shape: number[]) => object;
}
interface OrtSession {
  run(inputs: Record<string, object>): Promise<Record<string, { data: Float32Array }>>;
}

let ort: Ort | undefined;
let session: OrtSession | undefined;

answer({
  async create({ model, provider, threads }: { model: string; provider: 'wasm' | 'webgpu'; threads: number }) {
    const folder = new URL('./peers/onnxruntime-web/', import.meta.url).href;
    const script = provider === 'webgpu' ? 'ort.webgpu.min.mjs' : 'ort.wasm.min.mjs';
    ort = (await import(folder + script)) as Ort;
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = folder;
    session = await ort.InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
    });
    return ort.env.versions.web;
  },
  async encode({ pixels, shape }: { pixels: Float32Array; shape: number[] }) {
    if (!ort || !session) throw new Error('create comes first');
    const { embedding } = await session.run({ pixels: new ort.Tensor('float32', pixels, shape) });
    return embedding?.data;
  },
  heap: () => Math.max(0, ...memories.map(({ buffer }) => buffer.byteLength)),
});
