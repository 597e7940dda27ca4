// Whatever holds a picture -> a bitmap or a frame and the part of it to look at, ready for the worker.

import { CliperError } from '../shared/errors.js';
import type { Shown, Snapshot } from '../shared/protocol.js';
import type { Box, Picture } from '../shared/types.js';
import { throwIfAborted } from './abort.js';
import { cropOf, MAX_PIXELS } from './crop.js';
import { type Fetch, fetchOk, readBytes, toUrl } from './loader.js';
import { sizeOfFile } from './picture-size.js';
import { awaitFrame, drawFrame, takeFrame } from './video-frame.js';

type Part = Box | 'whole' | undefined;

/**
 * Takes a picture as it is now, with `box`, all of it, or its centre square to look at. The caller owns the bitmap or the frame,
 * which is whole:
 * Chromium's createImageBitmap cuts turned photos (EXIF) in the wrong place, https://github.com/nodeca/pica/issues/217.
 * The part is one of the bitmap's own pixels: an element may say another size than its picture has (`srcset`, SVG).
 */
export async function takeSnapshot(
  picture: Picture,
  part: Part,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<Snapshot<Shown>> {
  throwIfAborted(signal);
  const isAddress = typeof picture === 'string' || picture instanceof URL;
  const source = isAddress ? await download(picture, fetch, signal) : picture;
  const bitmap = await toBitmap(source, part, signal);
  try {
    throwIfAborted(signal);
    const { width, height } = sizeOf(bitmap);
    return { bitmap, crop: cropOf(width, height, part) };
  } catch (thrown) {
    bitmap.close();
    throw thrown;
  }
}

async function download(address: string | URL, fetch: Fetch, signal: AbortSignal): Promise<Blob> {
  const url = toUrl(address);
  const response = await fetchOk(url, fetch, signal);
  return new Blob([await readBytes(response, url, signal)], { type: response.headers.get('content-type') ?? '' });
}

function sizeOf(bitmap: Shown): { width: number; height: number } {
  return 'displayWidth' in bitmap ? { width: bitmap.displayWidth, height: bitmap.displayHeight } : bitmap;
}

async function toBitmap(source: ImageBitmapSource, part: Part, signal: AbortSignal): Promise<Shown> {
  if (typeof source !== 'object' || source === null) throw notAnImage(source);
  try {
    if (source instanceof Blob) return await decode(source, part);
    if ('videoWidth' in source) {
      const frame = takeFrame(source);
      if (frame) return frame;
      await awaitFrame(source, signal);
      return takeFrame(source) ?? draw(source, source.videoWidth, source.videoHeight, part);
    }
    if ('displayWidth' in source) {
      return takeFrame(source) ?? draw(source, source.displayWidth, source.displayHeight, part);
    }
    if ('naturalWidth' in source) await loaded(source);
    else if ('href' in source) await (source as { decode?(): Promise<void> }).decode?.();
    // What holds its own pixels and none at all is refused as such.
    else if (source.width === 0 || source.height === 0) cropOf(source.width, source.height);
    return await createImageBitmap(source);
  } catch (thrown) {
    throw refused(source, thrown);
  }
}

function draw(source: HTMLVideoElement | VideoFrame, width: number, height: number, part: Part): ImageBitmap {
  cropOf(width, height, part);
  return drawFrame(source, width, height);
}

async function decode(file: Blob, part: Part): Promise<ImageBitmap> {
  const size = await sizeOfFile(file);
  // A box is one of the turned picture, whose size is not known yet.
  if (size && size.width > 0 && size.height > 0 && typeof part !== 'object') cropOf(size.width, size.height, part);
  try {
    return await createImageBitmap(file);
  } catch (cause) {
    throw size && size.width * size.height > MAX_PIXELS ? undecodable(size, cause) : cause;
  }
}

/** Waits for an element's picture. One that loads only near the view is asked for: nothing else might ever load it. */
async function loaded(element: HTMLImageElement): Promise<void> {
  if (!element.complete) {
    if (element.loading === 'lazy') element.loading = 'eager';
    await element.decode();
  }
  // A complete image without a size failed to load, or has no source at all.
  if (element.naturalWidth === 0) throw notAnImage(element);
}

function notAnImage(source: unknown, cause?: unknown): CliperError {
  const type = source instanceof Blob && source.type ? ` (${source.type})` : '';
  return new CliperError(
    'not-an-image',
    `This is not a picture that the browser can read${type}: give it a JPEG, PNG, WebP, GIF or AVIF file, or an element that shows one.`,
    { cause },
  );
}

function undecodable({ width, height }: { width: number; height: number }, cause: unknown): CliperError {
  return new CliperError(
    'image-too-large',
    `The browser could not decode a picture of ${width} x ${height} pixels: give it a smaller one.`,
    { cause },
  );
}

function refused(source: unknown, cause: unknown): CliperError {
  if (cause instanceof CliperError) return cause;
  if (cause instanceof DOMException && cause.name === 'SecurityError') return protectedImage(cause);
  return notAnImage(source, cause);
}

/** The picture's origin does not let this page read its pixels. */
export function protectedImage(cause: unknown): CliperError {
  return new CliperError(
    'image-protected',
    "The picture comes from another origin, which does not let this page read its pixels: serve it from here, or with CORS headers and crossOrigin = 'anonymous' on the element.",
    { cause },
  );
}
