// Starts the engine's helper threads; the address stands as bundlers look for it.

/** Starts a helper of the engine's worker. */
export function createHelper(): Worker {
  return new Worker(new URL('./thread.js', import.meta.url), { type: 'module', name: 'cliper-helper' });
}
