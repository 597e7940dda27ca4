// LiteRT.js with the same weights as TFLite.

import { Caller } from './calls.js';
import { type Contender, modelFile, type Setting, worker } from './contenders.js';
import { takeCounts } from './gpu-counts.js';

export function encoder({ model, device, precision, threads }: Setting): Contender {
  return {
    name: 'LiteRT.js',
    async create() {
      const { worker: made, name } = worker('litert-worker');
      const caller = new Caller(made);
      const accelerator = device === 'cpu' ? 'wasm' : 'webgpu';
      const info = await caller.call<string>('create', {
        model: modelFile(model, `${precision}.tflite`),
        accelerator,
        threads,
      });
      return {
        encode: (pixels, shape) => caller.call('encode', { pixels, shape }),
        heap: () => caller.call('heap', null),
        gpu: () => takeCounts(name),
        info,
        close: () => caller.close(),
      };
    },
  };
}
