// A clip -> the frames to look at, evenly spread: of a video by seeking in an element of our own, or of a list.

import { CliperError } from '../shared/errors.js';
import type { Clip, ClipOptions, Picture } from '../shared/types.js';
import { inWords, isWithin } from '../shared/values.js';
import { type Film, openFilm, seek } from './film-element.js';
import type { Fetch } from './loader.js';

/** Seconds about the place sought within which a frame's own time is believed of a browser that has told no better yet. */
const NEAR = 0.1;
/** Milliseconds that a frame sought may be late: Chromium tells of one seek in a hundred before it shows the new place. */
const LATE = 250;
/** Milliseconds from one look for a late frame to the next. */
const LOOK = 10;
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
  fetch: Fetch,
  signal: AbortSignal,
): Promise<OpenClip> {
  const { from = 0, to = Infinity } = options;
  if (!(isWithin(from, 0, Infinity) && isWithin(to, from, Infinity) && to > from)) {
    throw new CliperError(
      'invalid-argument',
      `The part from ${inWords(from)} to ${inWords(to)} seconds is empty: give \`from\` before \`to\`, not below 0.`,
    );
  }
  return isList(clip)
    ? openList(clip, from, to, options.rate ?? RATE, length)
    : openVideo(clip, from, to, length, fetch, signal);
}

function isList(clip: Clip): clip is readonly Picture[] {
  return Array.isArray(clip);
}

function openList(pictures: readonly Picture[], from: number, to: number, rate: number, length: number): OpenClip {
  if (!isWithin(rate, 0, Number.MAX_VALUE) || !Number.isFinite(pictures.length / rate)) {
    throw new CliperError('invalid-argument', `${inWords(rate)} frames a second are no rate: give a number above 0.`);
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
  film: Film,
  from: number,
  to: number,
  length: number,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<OpenClip> {
  const { video, close } = await openFilm(film, fetch, signal);
  const end = Math.min(to, video.duration);
  if (end > from) return { from, to: end, frames: seekThrough(video, from, end, length, signal), close };
  close();
  throw endsBefore(from, video.duration);
}

async function* seekThrough(
  video: HTMLVideoElement,
  from: number,
  to: number,
  length: number,
  signal: AbortSignal,
): AsyncGenerator<ClipFrame | undefined> {
  let before = frameTime(video);
  // Firefox gives whole seconds as if they were microseconds: only a time of some size shows that frames are told apart.
  let tellsApart = false;
  for (let index = 0; index < length; index++) {
    // By time: a variable rate is no matter.
    const asked = from + ((to - from) * (index + 0.5)) / length;
    await seek(video, asked, signal);
    const shown: number | undefined =
      tellsApart || index === 0 ? await frameTimeAfter(video, before) : frameTime(video);
    tellsApart ||= shown !== undefined && shown > asked / 1000;
    const isNew = index === 0 || !tellsApart || shown === undefined || shown !== before;
    before = shown;
    const time = shown !== undefined && (tellsApart || Math.abs(shown - asked) < NEAR) ? shown : asked;
    yield isNew ? { picture: video, time } : undefined;
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

/** The same of the frame at a new place, which may be the one `before` still, or come a little late. */
async function frameTimeAfter(video: HTMLVideoElement, before: number | undefined): Promise<number | undefined> {
  const end = performance.now() + LATE;
  for (;;) {
    const shown = frameTime(video);
    if (shown === undefined || shown !== before || performance.now() >= end) return shown;
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

function endsBefore(from: number, end: number): CliperError {
  return new CliperError(
    'invalid-argument',
    `The clip ends at ${end.toFixed(2)} seconds: nothing lies from ${from} on.`,
  );
}
