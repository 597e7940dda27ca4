// An element of our own for a film: opened, sought in, and closed, with a reason wherever it does not go on.

import { CliperError } from '../shared/errors.js';
import type { Clip, Picture } from '../shared/types.js';
import { abortable, throwIfAborted } from './abort.js';
import { failed, goneQuiet, readWhole, STALLED } from './film-download.js';
import { type Fetch, toUrl } from './loader.js';

/** Seconds that a film may show another place than the one sought: its last frame ends before it does. */
const OFF = 0.5;

/** A film, and no list of pictures. */
export type Film = Exclude<Clip, readonly Picture[]>;

/** A film that is open, in an element that is not the page's own: that one keeps its place, and plays on. */
export interface OpenFilm {
  video: HTMLVideoElement;
  close(): void;
}

/**
 * Opens a film that can be sought in. One whose server answers no byte ranges is read whole: every place that is sought
 * would else show its beginning.
 */
export async function openFilm(film: Film, fetch: Fetch, signal: AbortSignal): Promise<OpenFilm> {
  if (typeof document === 'undefined') {
    throw new CliperError(
      'video-failed',
      'A worker plays no films: call recognizeClip in the page, or give an array of pictures (VideoFrames, bitmaps).',
    );
  }
  const source = sourceOf(film);
  const opened = await open(source, signal);
  if (isSeekable(opened.video)) return opened;
  const { duration } = opened.video;
  opened.close();
  if (source instanceof Blob) throw failed('no place in it can be sought');
  return open(await readWhole(source.url, duration, fetch, signal), signal);
}

/** Goes to a place, in seconds. */
export async function seek(video: HTMLVideoElement, time: number, signal: AbortSignal): Promise<void> {
  await settled(video, 'seeked', () => (video.currentTime = time), signal);
  if (Math.abs(video.currentTime - time) > OFF) {
    throw failed(`it shows ${video.currentTime.toFixed(1)} s where ${time.toFixed(1)} s were sought`);
  }
}

interface Address {
  url: URL;
  crossOrigin: string | null;
}

function sourceOf(film: Film): Blob | Address {
  if (film instanceof Blob) return film;
  if (typeof film === 'string' || film instanceof URL) return { url: toUrl(film), crossOrigin: 'anonymous' };
  if (typeof film !== 'object' || film === null || !('videoWidth' in film)) {
    throw new CliperError(
      'invalid-argument',
      'This is no clip: give a video element, a film as a Blob or address, or an array of pictures.',
    );
  }
  if (film.srcObject || !film.currentSrc) {
    throw new CliperError(
      'invalid-argument',
      'This video plays a camera or nothing: a clip has a beginning and an end. Give a film, or use `stream`.',
    );
  }
  return { url: new URL(film.currentSrc), crossOrigin: film.crossOrigin };
}

async function open(source: Blob | Address, signal: AbortSignal): Promise<OpenFilm> {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.preload = 'auto';
  const address = source instanceof Blob ? URL.createObjectURL(source) : undefined;
  if (!(source instanceof Blob)) video.crossOrigin = source.crossOrigin;
  video.src = address ?? (source as Address).url.href;
  const close = (): void => {
    video.removeAttribute('src');
    video.load();
    if (address) URL.revokeObjectURL(address);
  };
  try {
    await settled(video, 'loadeddata', () => video.load(), signal);
    // A recording may not know its own length until its end is looked for.
    if (!Number.isFinite(video.duration)) await settled(video, 'seeked', () => (video.currentTime = 1e9), signal);
    return { video, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Whether a film's end can be sought. */
function isSeekable({ seekable, duration }: HTMLVideoElement): boolean {
  if (!Number.isFinite(duration)) return false;
  return seekable.length > 0 && seekable.end(seekable.length - 1) >= duration - OFF;
}

/** Does something to a video and waits for its event; a video that fails, or goes quiet, is an error. */
async function settled(
  video: HTMLVideoElement,
  event: 'loadeddata' | 'seeked',
  start: () => void,
  signal: AbortSignal,
): Promise<void> {
  throwIfAborted(signal);
  const listening = new AbortController();
  const on = (target: EventTarget, name: string, run: (event: Event) => void): void =>
    target.addEventListener(name, run, { signal: listening.signal });
  const done = new Promise<void>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let policy: string | undefined;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => reject(goneQuiet()), STALLED);
    };
    listening.signal.addEventListener('abort', () => clearTimeout(timer));
    on(video, event, () => resolve());
    on(video, 'progress', wait);
    on(document, 'securitypolicyviolation', (violation) => {
      const { effectiveDirective } = violation as SecurityPolicyViolationEvent;
      if (effectiveDirective === 'media-src') policy = effectiveDirective;
    });
    // The policy's event comes in a task of its own, after the video's.
    on(video, 'error', () =>
      setTimeout(() => reject(policy ? forbidden() : failed(video.error?.message || 'it can not be played'))),
    );
    wait();
    start();
  });
  try {
    await abortable(done, signal);
  } finally {
    listening.abort();
  }
}

function forbidden(): CliperError {
  return new CliperError(
    'video-failed',
    "The page's Content-Security-Policy does not let it play this film: add `media-src 'self' blob:`, and the film's host if it is another one.",
  );
}
