// LiteRT.js in a worker of its own, its use of WebGPU counted.

import { answer } from './calls.js';
import { countGpu } from './gpu-counts.js';

countGpu();

/** The little of LiteRT.js's types that is used here. */
interface LiteRt {
  loadLiteRt(
    folder: string,
    options: { threads: boolean; jspi: boolean },
  ): Promise<{ liteRtWasm: { HEAPU8: Uint8Array } }>;
  loadAndCompile(model: string, options: object): Promise<Model>;
  Tensor: new (data: Float32Array, shape: readonly number[]) => Tensor;
}
interface Model {
  run(input: Tensor): Promise<Tensor[]>;
}
interface Tensor {
  data(): Promise<Float32Array>;
  delete(): void;
}

let litert: LiteRt | undefined;
let runtime: { liteRtWasm: { HEAPU8: Uint8Array } } | undefined;
let model: Model | undefined;

answer({
  async create({ model: address, accelerator, threads }: { model: string; accelerator: string; threads: number }) {
    const folder = new URL('./peers/litert/', import.meta.url).href;
    const [isThreaded, isOnGpu] = [threads > 1 && accelerator === 'wasm', accelerator === 'webgpu'];
    // Its script is a classic one, which would be imported from within: a module's worker can't, so it comes as a module.
    const file = `${folder}litert_wasm_${isThreaded ? 'threaded_' : isOnGpu ? 'jspi_' : ''}internal.js`;
    const module = new Blob([await (await fetch(file)).text(), 'self.ModuleFactory = ModuleFactory;'], {
      type: 'text/javascript',
    });
    await import(URL.createObjectURL(module));
    Object.assign(self, {
      importScripts() {},
      Module: { locateFile: (name: string) => folder + name, mainScriptUrlOrBlob: file },
    });
    litert = (await import(`${folder}litert.js`)) as LiteRt;
    runtime = await litert.loadLiteRt(folder, { threads: isThreaded, jspi: isOnGpu });
    model = await litert.loadAndCompile(address, {
      accelerator,
      cpuOptions: { numThreads: threads },
      gpuOptions: { precision: 'fp32' },
    });
    return `${accelerator}, ${threads} threads`;
  },
  async encode({ pixels, shape }: { pixels: Float32Array; shape: number[] }) {
    if (!litert || !model) throw new Error('create comes first');
    const input = new litert.Tensor(pixels, shape);
    const [output] = await model.run(input);
    const embedding = await output?.data();
    input.delete();
    output?.delete();
    return embedding;
  },
  heap: () => runtime?.liteRtWasm.HEAPU8.buffer.byteLength ?? 0,
});
