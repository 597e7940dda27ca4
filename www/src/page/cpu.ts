// Which of the engine's CPU files fits this browser and page: pure but for what it looks up.

import { CliperError } from '../shared/errors.js';
import type { EngineFile } from '../shared/protocol.js';
import { inWords } from '../shared/values.js';

export interface CpuPlan {
  file: Exclude<EngineFile, 'webgpu'>;
  threads: number;
  /** Why fewer threads compute than were asked for, as a sentence. */
  fallback?: string;
}

/** What the CPU files differ in needing. */
export interface CpuAbilities {
  hasRelaxedSimd: boolean;
  /** The page may share memory among its workers. */
  isIsolated: boolean;
}

const MOST_THREADS = 64;

/** Chooses for what was asked and what is there. */
export function planCpu(threads: number, { hasRelaxedSimd, isIsolated }: CpuAbilities): CpuPlan {
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > MOST_THREADS) {
    throw new CliperError(
      'invalid-argument',
      `${inWords(threads)} threads are not possible: give a whole number from 1 to ${MOST_THREADS}.`,
    );
  }
  const alone = { file: hasRelaxedSimd ? 'cpu-relaxed' : 'cpu', threads: 1 } as const;
  if (threads === 1) return alone;
  if (!isIsolated) {
    return {
      ...alone,
      fallback:
        'This page is not cross-origin isolated, so one thread computes: serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.',
    };
  }
  if (!hasRelaxedSimd) return { ...alone, fallback: 'This browser has no relaxed SIMD, so one thread computes.' };
  return { file: 'cpu-threads', threads };
}

// A module with one function that uses a relaxed instruction: bytes of github.com/GoogleChromeLabs/wasm-feature-detect.
const RELAXED_SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
);

/** What is there. */
export function findAbilities(): CpuAbilities {
  return { hasRelaxedSimd: WebAssembly.validate(RELAXED_SIMD), isIsolated: globalThis.crossOriginIsolated === true };
}
