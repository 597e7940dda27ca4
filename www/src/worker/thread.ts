// A helper's worker: an instance of the engine on the engine's own memory, which takes part in its products for good.

/** What a helper is started with. */
export interface HelperStart {
  wasm: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Address of the pool. */
  pool: number;
}

/** What a helper answers once: why it did not start, or null. */
export type HelperAnswer = string | null;

/** Kernels need little, and each helper's stack is the engine's memory. */
const STACK_BYTES = 131_072;

self.addEventListener('message', async ({ data: { wasm, memory, pool } }: MessageEvent<HelperStart>) => {
  try {
    const { default: init, help, awake, epochIndex } = await import('../wasm/cpu-threads/cliper.js');
    await init({ module_or_path: wasm, memory, thread_stack_size: STACK_BYTES });
    const numbers = new Int32Array(memory.buffer);
    const index = epochIndex(pool);
    post(null);
    for (;;) {
      const seen = help(pool);
      Atomics.wait(numbers, index, seen | 0);
      awake(pool);
    }
  } catch (thrown) {
    post(String(thrown));
  }
});

function post(answer: HelperAnswer): void {
  self.postMessage(answer);
}
