// What the library needs of the browser.

import { CliperError } from '../shared/errors.js';

// A module with one function that uses 128-bit SIMD: bytes of github.com/GoogleChromeLabs/wasm-feature-detect.
const SIMD = Uint8Array.of(
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  10,
  1,
  8,
  0,
  65,
  0,
  253,
  15,
  253,
  98,
  11,
);

/** What is missing here, by name. */
export function missingHere(): string[] {
  const needs: [string, boolean][] = [
    ['module workers', typeof Worker === 'function'],
    ['OffscreenCanvas', typeof OffscreenCanvas === 'function'],
    ['createImageBitmap', typeof createImageBitmap === 'function'],
    ['AbortSignal.any', typeof AbortSignal === 'function' && 'any' in AbortSignal],
    ['WebAssembly with SIMD', typeof WebAssembly === 'object' && WebAssembly.validate(SIMD)],
  ];
  return needs.filter(([, isThere]) => !isThere).map(([name]) => name);
}

/** Throws `unsupported-browser` if something is missing. */
export function checkBrowser(): void {
  const missing = missingHere();
  if (missing.length === 0) return;
  throw new CliperError(
    'unsupported-browser',
    `This browser lacks ${missing.join(', ')}: use Chrome or Edge 116, Firefox 124, Safari 17.4 or later.`,
  );
}
