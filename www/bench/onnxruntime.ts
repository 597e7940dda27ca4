// onnxruntime-web with the same weights as ONNX.

import { Caller } from './calls.js';
import { type Contender, modelFile, type Setting, worker } from './contenders.js';
import { takeCounts } from './gpu-counts.js';

export function encoder({ model, device, precision, threads }: Setting): Contender {
  return {
    name: 'onnxruntime-web',
    async create() {
      const { worker: made, name } = worker('onnxruntime-worker');
      const caller = new Caller(made);
      const provider = device === 'cpu' ? 'wasm' : 'webgpu';
      const version = await caller.call<string>('create', {
        model: modelFile(model, `${precision}.onnx`),
        provider,
        threads,
      });
      return {
        encode: (pixels, shape) => caller.call('encode', { pixels, shape }),
        heap: () => caller.call('heap', null),
        gpu: () => takeCounts(name),
        info: `${version}, ${provider}, ${threads} threads`,
        close: () => caller.close(),
      };
    },
  };
}
