// A helper of the engine: an instance on the engine's own memory, which takes part in its products for good.

import type { Request } from '../shared/protocol.js';
import * as glue from '../wasm/cpu-threads/cliper.js';
import { instantiate } from './instance.js';

/** Kernels need little, and each helper's stack is the engine's memory. */
const STACK_BYTES = 131_072;

/** Makes this worker a helper, which hears no message from then on. Nothing of the engine runs until it is ready. */
export async function becomeHelper({ wasm, memory, pool }: Request<'help'>): Promise<void> {
  await instantiate(glue, { module_or_path: wasm, memory, thread_stack_size: STACK_BYTES });
  const numbers = new Int32Array(memory.buffer);
  const index = glue.epochIndex(pool);
  // In a task of its own: the page has its answer before.
  setTimeout(() => {
    try {
      for (;;) {
        const seen = glue.help(pool);
        Atomics.wait(numbers, index, seen | 0);
        glue.awake(pool);
      }
    } catch (thrown) {
      // The engine waits for this helper for ever: the page must end both.
      reportError(new Error(`a helper stopped: ${String(thrown)}`));
    }
  });
}
