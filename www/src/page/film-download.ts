// A film read whole, where its server answers no byte ranges, and the reasons why a film does not go on.

import { CliperError } from '../shared/errors.js';
import { abortable, abortedBy } from './abort.js';
import { type Fetch, fetchOk } from './loader.js';

/** Milliseconds without any news from a film after which it has stalled. */
export const STALLED = 10_000;
/** Most bytes of a film that is read whole. */
const MOST_BYTES = 2 ** 29;

/**
 * All bytes of a film. One of unknown length may be a broadcast without an end: it is read only where the server says how
 * many bytes it has.
 */
export async function readWhole(url: URL, duration: number, fetch: Fetch, signal: AbortSignal): Promise<Blob> {
  const reading = new AbortController();
  const either = AbortSignal.any([signal, reading.signal]);
  const response = await fetchOk(url, fetch, either);
  const size = response.headers.get('content-length');
  try {
    if (!Number.isFinite(duration) && size === null) {
      throw new CliperError(
        'video-failed',
        'The video has no end, so no frames can be chosen: use `stream` for live video.',
      );
    }
    const pieces: BlobPart[] = [];
    let bytes = Number(size ?? 0);
    if (bytes > MOST_BYTES) throw tooLarge();
    bytes = 0;
    const reader = response.body?.getReader();
    for (;;) {
      const piece = await quiet(reader?.read(), either);
      if (!piece || piece.done) break;
      bytes += piece.value.byteLength;
      if (bytes > MOST_BYTES) throw tooLarge();
      pieces.push(piece.value);
    }
    return new Blob(pieces, { type: response.headers.get('content-type') ?? '' });
  } catch (thrown) {
    reading.abort(thrown);
    if (signal.aborted) throw abortedBy(signal);
    throw thrown instanceof CliperError ? thrown : failed('it broke off half way', thrown);
  }
}

/** A promise that fails if nothing comes for long. */
async function quiet<T>(promise: Promise<T> | undefined, signal: AbortSignal): Promise<T | undefined> {
  if (!promise) return undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(goneQuiet()), STALLED)));
  try {
    return await abortable(Promise.race([promise, stalled]), signal);
  } finally {
    clearTimeout(timer);
  }
}

export function failed(why: string, cause?: unknown): CliperError {
  return new CliperError('video-failed', `The video failed (${why}): give a film that this browser plays.`, { cause });
}

export function goneQuiet(): CliperError {
  return failed(`nothing came for ${STALLED / 1000} seconds`);
}

function tooLarge(): CliperError {
  return new CliperError(
    'video-failed',
    `The film's server answers no byte ranges, and more than ${MOST_BYTES / 2 ** 20} MB are not read whole: serve it with ranges (Accept-Ranges: bytes), or give it as a Blob.`,
  );
}
