// A clip -> the frames to look at, evenly spread: of a video by seeking in an element of our own, or of a list.

import { CliperError } from '../shared/errors.js';
import type { Clip, ClipOptions, Picture } from '../shared/types.js';
import { abortable, throwIfAborted } from './abort.js';
import { toUrl } from './loader.js';

/** Milliseconds without any news from a video after which it has stalled. */
const STALLED = 10_000;
/** Frames a second of a list of pictures, unless said otherwise. */
const RATE = 25;

/** A frame with its time in seconds. */
export interface ClipFrame {
  picture: Picture;
  time: number;
}

/** An open clip. Take its frames one after the other; each is valid until the next is asked for. */
export interface OpenClip {
  /** The part that is looked at, seconds. */
  from: number;
  to: number;
  frames: AsyncIterable<ClipFrame | undefined>;
  close(): void;
}

/**
 * Which frames of a clip of `count` stand for all of it: the middle one of each of `frames` equal parts, or all of a
 * clip with no more. The same rule as `sample` in Rust, without the repeated last frame.
 */
export function sample(count: number, frames: number): number[] {
  if (count <= frames) return Array.from({ length: count }, (_, index) => index);
  const tick = count / frames;
  return Array.from({ length: frames }, (_, index) => Math.floor(tick / 2 + tick * index));
}

/**
 * Opens a clip for `length` frames. Its iterator yields one entry for each of them, in order: `undefined` where a video
 * still shows the frame before, so that no frame is looked at twice.
 */
export async function openClip(
  clip: Clip,
  options: ClipOptions,
  length: number,
  signal: AbortSignal,
): Promise<OpenClip> {
  const { from = 0, to = Infinity } = options;
  if (!(from >= 0 && to > from)) {
    throw new CliperError(
      'invalid-argument',
      `The part from ${from} to ${to} seconds is empty: give \`from\` before \`to\`, not below 0.`,
    );
  }
  return isList(clip)
    ? openList(clip, from, to, options.rate ?? RATE, length)
    : openVideo(clip, from, to, length, signal);
}

function isList(clip: Clip): clip is readonly Picture[] {
  return Array.isArray(clip);
}

function openList(pictures: readonly Picture[], from: number, to: number, rate: number, length: number): OpenClip {
  if (!(rate > 0 && Number.isFinite(rate))) {
    throw new CliperError('invalid-argument', `${rate} frames a second are no rate: give a number above 0.`);
  }
  const end = Math.min(to, pictures.length / rate);
  const inside = pictures
    .map((picture, index) => ({ picture, time: index / rate }))
    .filter(({ time }) => time >= from && time < end);
  if (inside.length === 0) throw endsBefore(from, pictures.length / rate);
  async function* frames(): AsyncGenerator<ClipFrame | undefined> {
    for (const index of sample(inside.length, length)) yield inside[index];
  }
  return { from, to: end, frames: frames(), close: () => {} };
}

async function openVideo(
  clip: Exclude<Clip, readonly Picture[]>,
  from: number,
  to: number,
  length: number,
  signal: AbortSignal,
): Promise<OpenClip> {
  const { video, close } = ownElement(clip);
  try {
    await settled(video, 'loadeddata', () => video.load(), signal);
    // A recording may not know its own length until its end is looked for.
    if (!Number.isFinite(video.duration)) await settled(video, 'seeked', () => (video.currentTime = 1e9), signal);
    if (!Number.isFinite(video.duration)) {
      throw new CliperError(
        'video-failed',
        'The video has no end, so no frames can be chosen: use `stream` for live video.',
      );
    }
    const end = Math.min(to, video.duration);
    if (!(end > from)) throw endsBefore(from, video.duration);
    return { from, to: end, frames: seekThrough(video, from, end, length, signal), close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

async function* seekThrough(
  video: HTMLVideoElement,
  from: number,
  to: number,
  length: number,
  signal: AbortSignal,
): AsyncGenerator<ClipFrame | undefined> {
  let before: number | undefined;
  for (let index = 0; index < length; index++) {
    // By time: a variable rate is no matter.
    const asked = from + ((to - from) * (index + 0.5)) / length;
    await settled(video, 'seeked', () => (video.currentTime = asked), signal);
    const shown = frameTime(video);
    const isNew = shown === undefined || shown !== before;
    before = shown;
    yield isNew ? { picture: video, time: shown ?? asked } : undefined;
  }
}

/** When the frame that a video shows begins, in seconds, where the browser tells. */
function frameTime(video: HTMLVideoElement): number | undefined {
  if (!('VideoFrame' in globalThis)) return undefined;
  try {
    const frame = new VideoFrame(video);
    const { timestamp } = frame;
    frame.close();
    return timestamp / 1e6;
  } catch {
    return undefined; // of another origin: reading its pixels says so with a reason
  }
}

/** An element of our own for the same film: the page's own keeps its place, and plays on. */
function ownElement(clip: Exclude<Clip, readonly Picture[]>): { video: HTMLVideoElement; close(): void } {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.preload = 'auto';
  let address: string | undefined;
  if (clip instanceof Blob) {
    address = URL.createObjectURL(clip);
    video.src = address;
  } else if (typeof clip === 'string' || clip instanceof URL) {
    video.crossOrigin = 'anonymous';
    video.src = toUrl(clip).href;
  } else if (clip instanceof HTMLVideoElement) {
    if (clip.srcObject || !clip.currentSrc) {
      throw new CliperError(
        'invalid-argument',
        'This video plays a camera or nothing: a clip has a beginning and an end. Give a film, or use `stream`.',
      );
    }
    video.crossOrigin = clip.crossOrigin;
    video.src = clip.currentSrc;
  } else {
    throw new CliperError(
      'invalid-argument',
      'This is no clip: give a video element, a film as a Blob or address, or an array of pictures.',
    );
  }
  return {
    video,
    close: () => {
      video.removeAttribute('src');
      video.load();
      if (address) URL.revokeObjectURL(address);
    },
  };
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
  const on = (name: string, run: () => void): void => video.addEventListener(name, run, { signal: listening.signal });
  const done = new Promise<void>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new CliperError('video-failed', `The video failed (${why}): give a film that this browser plays.`));
    let timer = 0;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => fail(`nothing came for ${STALLED / 1000} seconds`), STALLED);
    };
    listening.signal.addEventListener('abort', () => clearTimeout(timer));
    on(event, resolve);
    on('progress', wait);
    on('error', () => fail(video.error?.message || 'it can not be played'));
    wait();
    start();
  });
  try {
    await abortable(done, signal);
  } finally {
    listening.abort();
  }
}

function endsBefore(from: number, end: number): CliperError {
  return new CliperError(
    'invalid-argument',
    `The clip ends at ${end.toFixed(2)} seconds: nothing lies from ${from} on.`,
  );
}
