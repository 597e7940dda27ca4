// The package's own files: worker, engines, built-in model. Every address stands as bundlers look for it,
// `new URL('literal', import.meta.url)`, so that each file comes along, under whatever name.

import type { EngineFile } from '../shared/protocol.js';
import type { CreateOptions } from '../shared/types.js';
import { toUrl } from './loader.js';

/** Starts the module worker. */
export function createWorker(): Worker {
  try {
    return new Worker(new URL('../worker/worker.js', import.meta.url), { type: 'module', name: 'cliper' });
  } catch (thrown) {
    // This module came from another origin: unbundled, the worker lies where its neighbours do.
    const { href } = builtInModel();
    if (!href.endsWith('/model/model.json')) throw thrown;
    return createWorkerAt(new URL('../worker/worker.js', href));
  }
}

/** Starts the module worker that lies at an address. Workers come from their page's own origin, their imports from any. */
function createWorkerAt(url: URL): Worker {
  if (url.origin === globalThis.location?.origin) return new Worker(url, { type: 'module', name: 'cliper' });
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: 'text/javascript' });
  return new Worker(URL.createObjectURL(script), { type: 'module', name: 'cliper' });
}

/** The options with the addresses that `assets` stands for, where they name no others. */
export function locateAssets<O extends CreateOptions>({ assets, ...options }: O): Omit<O, 'assets'> {
  if (assets === undefined) return options;
  const folder = toUrl(`${String(assets).replace(/\/$/, '')}/`);
  return {
    ...options,
    createWorker: options.createWorker ?? (() => createWorkerAt(new URL('worker/worker.js', folder))),
    wasmUrl: options.wasmUrl ?? new URL('wasm/', folder),
    model: options.model ?? new URL('model/model.json', folder),
    detector: options.detector ?? new URL('detector/model.json', folder),
  };
}

/** Where a wasm file lies: beside this module, or in the folder that the page names. */
export function wasmAddress(file: EngineFile | 'text', folder: string | URL | undefined): URL {
  return toUrl(folder === undefined ? wasmFile(file) : `${String(folder).replace(/\/$/, '')}/${file}/cliper_bg.wasm`);
}

function wasmFile(file: EngineFile | 'text'): URL {
  switch (file) {
    case 'webgpu':
      return new URL('../wasm/webgpu/cliper_bg.wasm', import.meta.url);
    case 'cpu':
      return new URL('../wasm/cpu/cliper_bg.wasm', import.meta.url);
    case 'cpu-relaxed':
      return new URL('../wasm/cpu-relaxed/cliper_bg.wasm', import.meta.url);
    case 'cpu-threads':
      return new URL('../wasm/cpu-threads/cliper_bg.wasm', import.meta.url);
    case 'text':
      return new URL('../wasm/text/cliper_bg.wasm', import.meta.url);
  }
}

/** The built-in model's manifest. */
export function builtInModel(): URL {
  return new URL('../model/model.json', import.meta.url);
}

/** The face detector's manifest. */
export function detectorModel(): URL {
  return new URL('../detector/model.json', import.meta.url);
}

/** The face detector's other files by name, as `builtInFiles`. */
export function detectorFiles(): ReadonlyMap<string, URL> {
  return new Map([['detector.safetensors', new URL('../detector/detector.safetensors', import.meta.url)]]);
}

/** The built-in model's other files by name: a bundler may move each elsewhere. A test holds this against the manifest. */
export function builtInFiles(): ReadonlyMap<string, URL> {
  return new Map([
    ['encoder-00001-of-00001.safetensors', new URL('../model/encoder-00001-of-00001.safetensors', import.meta.url)],
    ['descriptors.safetensors', new URL('../model/descriptors.safetensors', import.meta.url)],
    ['labels-fer2013.safetensors', new URL('../model/labels-fer2013.safetensors', import.meta.url)],
    ['movements.safetensors', new URL('../model/movements.safetensors', import.meta.url)],
    ['golden.safetensors', new URL('../model/golden.safetensors', import.meta.url)],
    ['text.safetensors', new URL('../model/text.safetensors', import.meta.url)],
    ['text.json', new URL('../model/text.json', import.meta.url)],
    ['CARD.md', new URL('../model/CARD.md', import.meta.url)],
  ]);
}
