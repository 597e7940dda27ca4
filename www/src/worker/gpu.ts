// Executes the engine's plans on WebGPU: buffers, pipelines, one list of commands a pass, one read-back.

import { ADVICE, CliperError } from '../shared/errors.js';
import { describeAdapter, findAdapter } from './adapter.js';

/** A pass of the encoder, as `src/engine/webgpu/plan.rs` makes it. */
export interface GpuPlan {
  /** Name and WGSL of each pipeline. */
  kernels: { name: string; code: string }[];
  /** Bytes of each work buffer; the first takes the pixels. */
  work: number[];
  /** The work buffer to read, and how many bytes of it. */
  output: number;
  outputBytes: number;
  /** Dispatches in order. A buffer is a work buffer's index, or -1 - the index of an upload. */
  steps: { kernel: number; buffers: number[]; size: number[]; workgroups: [number, number, number] }[];
}

interface Prepared {
  steps: { pipeline: GPUComputePipeline; group: GPUBindGroup; workgroups: [number, number, number] }[];
  pixels: GPUBuffer;
  output: GPUBuffer;
  answer: GPUBuffer;
  bytes: number;
  own: GPUBuffer[];
}

// TypeScript's DOM library has WebGPU's types, but not these flags.
declare const GPUBufferUsage: Readonly<Record<'STORAGE' | 'UNIFORM' | 'COPY_DST' | 'COPY_SRC' | 'MAP_READ', number>>;
declare const GPUMapMode: { readonly READ: number };

const LOST = 'The WebGPU device was lost';
/** An open device with the weights on it. */
export class Gpu {
  readonly #device: GPUDevice;
  readonly #uploads: GPUBuffer[] = [];
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  #prepared: Prepared | undefined;
  #lost: string | undefined;

  private constructor(
    device: GPUDevice,
    /** The adapter's name, for people. */
    readonly adapter: string,
    /** The adapter computes on the CPU. */
    readonly isSoftware: boolean,
  ) {
    this.#device = device;
    void device.lost.then(({ message }) => (this.#lost = message || 'without a reason'));
  }

  /**
   * Opens the browser's best adapter.
   *
   * @throws {CliperError} `device-unavailable`
   */
  static async open(): Promise<Gpu> {
    const adapter = await findAdapter();
    if (!adapter) throw unavailable('There is no WebGPU adapter');
    const { name, isSoftware } = describeAdapter(adapter);
    // The adapter's own limits, where they matter: a large encoder's batch has buffers above the default.
    const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
    try {
      const device = await adapter.requestDevice({ requiredLimits: { maxStorageBufferBindingSize, maxBufferSize } });
      return new Gpu(device, name, isSoftware);
    } catch (cause) {
      throw unavailable(`The WebGPU adapter (${name}) gives no device`, cause);
    }
  }

  /** Keeps these bytes on the device. */
  upload(bytes: Uint8Array): void {
    const buffer = this.#buffer(bytes.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    // A view of wasm's memory, which is never shared in this file.
    this.#device.queue.writeBuffer(buffer, 0, bytes as Uint8Array<ArrayBuffer>);
    this.#uploads.push(buffer);
  }

  /** Compiles what is not compiled yet, off the calling thread, and makes the plan's buffers. */
  async prepare(plan: GpuPlan): Promise<void> {
    for (const buffer of this.#prepared?.own ?? []) buffer.destroy();
    this.#prepared = undefined;
    const device = this.#device;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    let refused: unknown;
    try {
      const pipelines = await Promise.all(plan.kernels.map((kernel) => this.#compile(kernel)));
      this.#prepared = this.#make(plan, pipelines);
    } catch (thrown) {
      refused = thrown;
    }
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]).catch(() => []);
    this.#check();
    const error = errors.find((error) => error !== null);
    if (refused instanceof CliperError) throw refused;
    if (refused !== undefined || error) throw unavailable('WebGPU refused the encoder', refused ?? error);
  }

  /** One pass: pixels in, embeddings out. */
  async run(pixels: Float32Array<ArrayBuffer>): Promise<Float32Array> {
    this.#check();
    const prepared = this.#prepared;
    if (!prepared) throw unavailable('WebGPU has no plan to run');
    const { queue } = this.#device;
    queue.writeBuffer(prepared.pixels, 0, pixels);
    const commands = this.#device.createCommandEncoder();
    const pass = commands.beginComputePass();
    let last: GPUComputePipeline | undefined;
    for (const { pipeline, group, workgroups } of prepared.steps) {
      if (pipeline !== last) pass.setPipeline(pipeline);
      last = pipeline;
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    }
    pass.end();
    commands.copyBufferToBuffer(prepared.output, 0, prepared.answer, 0, prepared.bytes);
    queue.submit([commands.finish()]);
    try {
      await prepared.answer.mapAsync(GPUMapMode.READ);
    } catch (cause) {
      // A device that is lost says so a moment later than its buffers.
      await Promise.race([this.#device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      this.#check();
      throw unavailable('WebGPU gave no answer', cause);
    }
    const output = new Float32Array(prepared.answer.getMappedRange().slice(0));
    prepared.answer.unmap();
    return output;
  }

  #compile({ name, code }: GpuPlan['kernels'][number]): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(code);
    if (known) return known;
    const module = this.#device.createShaderModule({ label: name, code });
    const pipeline = this.#device.createComputePipelineAsync({ label: name, layout: 'auto', compute: { module } });
    this.#pipelines.set(code, pipeline);
    return pipeline;
  }

  #make(plan: GpuPlan, pipelines: GPUComputePipeline[]): Prepared {
    const device = this.#device;
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage;
    const work = plan.work.map((bytes) => this.#buffer(bytes, STORAGE | COPY_DST | COPY_SRC));
    // All steps' sizes lie in one buffer, each where a uniform may begin.
    const step = device.limits.minUniformBufferOffsetAlignment;
    const sizes = new Uint32Array((plan.steps.length * step) / 4);
    plan.steps.forEach(({ size }, index) => sizes.set(size, (index * step) / 4));
    const uniforms = this.#buffer(sizes.byteLength, UNIFORM | COPY_DST);
    device.queue.writeBuffer(uniforms, 0, sizes);
    const steps = plan.steps.map(({ kernel, buffers, size, workgroups }, index) => {
      const pipeline = item(pipelines, kernel);
      const bound = buffers.map((buffer) => (buffer >= 0 ? item(work, buffer) : item(this.#uploads, -1 - buffer)));
      const resources = [
        { buffer: uniforms, offset: index * step, size: size.length * 4 },
        ...bound.map((buffer) => ({ buffer })),
      ];
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      return {
        pipeline,
        group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }),
        workgroups,
      };
    });
    const answer = this.#buffer(plan.outputBytes, MAP_READ | COPY_DST);
    return {
      steps,
      pixels: item(work, 0),
      output: item(work, plan.output),
      answer,
      bytes: plan.outputBytes,
      own: [...work, uniforms, answer],
    };
  }

  #buffer(size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    this.#check();
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (size > most) {
      throw unavailable(
        `The WebGPU adapter (${this.adapter}) takes buffers of ${most} bytes, the encoder needs one of ${size}`,
      );
    }
    return this.#device.createBuffer({ size, usage });
  }

  #check(): void {
    if (this.#lost !== undefined) throw unavailable(`${LOST} (${this.#lost})`);
  }
}

function item<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`the plan names ${index} of ${list.length}`);
  return found;
}

function unavailable(what: string, cause?: unknown): CliperError {
  const why =
    cause instanceof Error || (typeof cause === 'object' && cause !== null && 'message' in cause)
      ? ` (${cause.message})`
      : '';
  return new CliperError('device-unavailable', `${what}${why}${ADVICE}`, { cause });
}
