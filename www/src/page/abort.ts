// AbortSignals as errors of this library.

import { CliperError } from '../shared/errors.js';

/** The error that an aborted signal stands for; a signal of our own carries its error as the reason. */
export function abortedBy(signal: AbortSignal): CliperError {
  const { reason } = signal;
  if (reason instanceof CliperError) return reason;
  return new CliperError('aborted', 'Aborted by its signal: call again to start over.', { cause: reason });
}

/** Throws if `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortedBy(signal);
}

/** The promise, or the abort if that comes first, whether or not the work itself listens to the signal. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abortedBy(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
