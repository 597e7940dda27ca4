// The one error type: a stable code for programs, a sentence that names the fix for people.

import { inWords } from './values.js';

/** Codes of errors that the engine raises: the same list as `ErrorKind` in Rust. */
export const ENGINE_CODES = [
  'invalid-image',
  'invalid-config',
  'invalid-bundle',
  'unsupported-bundle',
  'missing-file',
  'damaged-file',
  'invalid-weights',
  'foreign-descriptors',
  'device-unavailable',
  'device-wrong',
  'invalid-training',
  'invalid-text',
  'invalid-argument',
] as const;

/** Codes of errors that the page's side raises. */
export const PAGE_CODES = [
  'not-an-image',
  'image-too-large',
  'image-protected',
  'video-failed',
  'network',
  'aborted',
  'disposed',
  'camera-denied',
  'camera-missing',
  'camera-busy',
  'camera-unsupported',
  'unsupported-browser',
  'worker-failed',
  'engine-panicked',
  'version-mismatch',
] as const;

/** What went wrong, as a stable word for programs. */
export type ErrorCode = (typeof ENGINE_CODES)[number] | (typeof PAGE_CODES)[number];

/**
 * Every error of this library. `code` is for programs; `message` is a sentence that names the fix.
 *
 * @example
 * try {
 *   await recognizer.recognize(file);
 * } catch (error) {
 *   if (error instanceof CliperError && error.code === 'not-an-image') askForAnotherFile();
 *   else throw error;
 * }
 */
export class CliperError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'CliperError';
    this.code = code;
  }
}

/** An error as it crosses between worker and page: structured cloning would lose its code. */
export interface PlainError {
  code: ErrorCode;
  message: string;
}

/** Any thrown value as a `CliperError`. The engine's errors carry their code; anything else is a fault of ours. */
export function toCliperError(thrown: unknown): CliperError {
  if (thrown instanceof CliperError) return thrown;
  const message = thrown instanceof Error ? thrown.message : inWords(thrown);
  if (isPanic(thrown)) {
    return new CliperError(
      'engine-panicked',
      `The engine stopped (${message}) and can't go on: dispose this recognizer and create a new one. The console has the engine's own message.`,
      { cause: thrown },
    );
  }
  const code = (thrown as { code?: unknown } | null | undefined)?.code;
  if (isCode(code)) return new CliperError(code, message, { cause: thrown });
  return new CliperError(
    'worker-failed',
    `The worker failed (${message}): create a new recognizer, and report this if it happens again.`,
    { cause: thrown },
  );
}

/** Faults of a device, for which another device may do; anything else fails on every device. */
export function isDeviceFault({ code }: PlainError): boolean {
  return code === 'device-unavailable' || code === 'device-wrong' || code === 'engine-panicked';
}

/** A panic in Rust reaches JavaScript as the trap of wasm's `unreachable`. */
export function isPanic(thrown: unknown): boolean {
  return thrown instanceof WebAssembly.RuntimeError;
}

function isCode(code: unknown): code is ErrorCode {
  return [...ENGINE_CODES, ...PAGE_CODES].includes(code as ErrorCode);
}

/** The end of every message here; whoever follows the advice already leaves it out. */
export const ADVICE = ": create it again, or take device 'cpu'.";
