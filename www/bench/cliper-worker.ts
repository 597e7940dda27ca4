// cliper's own worker, its use of WebGPU counted.

import { countGpu } from './gpu-counts.js';

countGpu();
// Calls that come while the worker's own script loads wait for it.
const early: unknown[] = [];
const keep = ({ data }: MessageEvent): void => void early.push(data);
self.addEventListener('message', keep);
await import('../src/worker/worker.js');
self.removeEventListener('message', keep);
for (const data of early) self.dispatchEvent(new MessageEvent('message', { data }));
