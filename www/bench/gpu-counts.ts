// Counts what a worker asks of WebGPU, by its prototypes: whatever engine runs, the count is the browser's.

/** Calls and bytes since the count was last taken. */
export interface GpuCounts {
  dispatches: number;
  passes: number;
  submits: number;
  pipelines: number;
  buffers: number;
  uploadedBytes: number;
  readBytes: number;
}

const NONE: GpuCounts = {
  dispatches: 0,
  passes: 0,
  submits: 0,
  pipelines: 0,
  buffers: 0,
  uploadedBytes: 0,
  readBytes: 0,
};
let counts = { ...NONE };

type Prototype = Record<string, (...values: never[]) => unknown>;

/** Lets `count` see the arguments of every call of a method. */
function watch(
  owner: { prototype: object } | undefined,
  method: string,
  count: (self: unknown, ...values: never[]) => void,
): void {
  const prototype = owner?.prototype as Prototype | undefined;
  const original = prototype?.[method];
  if (!prototype || !original) return;
  prototype[method] = function (this: unknown, ...values: never[]): unknown {
    count(this, ...values);
    return original.apply(this, values);
  };
}

/** Starts counting in this worker, and answers whoever asks on the channel `gpu-counts`. */
export function countGpu(): void {
  const scope = globalThis as unknown as Record<string, { prototype: object } | undefined>;
  watch(scope.GPUComputePassEncoder, 'dispatchWorkgroups', () => (counts.dispatches += 1));
  watch(scope.GPUComputePassEncoder, 'dispatchWorkgroupsIndirect', () => (counts.dispatches += 1));
  watch(scope.GPUCommandEncoder, 'beginComputePass', () => (counts.passes += 1));
  watch(scope.GPUQueue, 'submit', () => (counts.submits += 1));
  watch(scope.GPUDevice, 'createComputePipeline', () => (counts.pipelines += 1));
  watch(scope.GPUDevice, 'createComputePipelineAsync', () => (counts.pipelines += 1));
  watch(scope.GPUDevice, 'createBuffer', (_self, options: { size: number; mappedAtCreation?: boolean }) => {
    counts.buffers += 1;
    if (options.mappedAtCreation) counts.uploadedBytes += options.size;
  });
  watch(
    scope.GPUQueue,
    'writeBuffer',
    (_self, _buffer: unknown, _offset: number, data: ArrayBuffer | ArrayBufferView, from?: number, size?: number) => {
      // Offset and size count elements of a typed array, and bytes of anything else.
      const unit = 'BYTES_PER_ELEMENT' in data ? (data.BYTES_PER_ELEMENT as number) : 1;
      counts.uploadedBytes += size === undefined ? data.byteLength - (from ?? 0) * unit : size * unit;
    },
  );
  watch(scope.GPUBuffer, 'getMappedRange', (self) => {
    const { usage, size } = self as { usage: number; size: number };
    const MAP_READ = 1;
    if (usage & MAP_READ) counts.readBytes += size;
  });
  const channel = new BroadcastChannel(`gpu-counts:${self.name}`);
  channel.onmessage = ({ data }) => {
    if (data !== 'take') return;
    channel.postMessage(counts);
    counts = { ...NONE };
  };
}

/** What the worker of this name asked of WebGPU since the last time. */
export function takeCounts(worker: string): Promise<GpuCounts> {
  const channel = new BroadcastChannel(`gpu-counts:${worker}`);
  return new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      channel.close();
      resolve(data as GpuCounts);
    };
    channel.postMessage('take');
  });
}
