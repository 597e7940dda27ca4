// Whatever holds a picture -> a bitmap and the part of it to look at, ready for the worker.

import { CliperError } from '../shared/errors.js';
import type { Snapshot } from '../shared/protocol.js';
import type { Box, Picture } from '../shared/types.js';
import { throwIfAborted } from './abort.js';
import { cropOf, MAX_PIXELS } from './crop.js';
import { type Fetch, fetchOk, readBytes, toUrl } from './loader.js';

/**
 * Takes a picture as it is now, with `box`, all of it, or its centre square to look at. The caller owns the bitmap, which is whole:
 * Chromium's createImageBitmap cuts turned photos (EXIF) in the wrong place, https://github.com/nodeca/pica/issues/217.
 */
export async function takeSnapshot(
  picture: Picture,
  box: Box | 'whole' | undefined,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<Snapshot> {
  throwIfAborted(signal);
  const isAddress = typeof picture === 'string' || picture instanceof URL;
  const source = isAddress ? await download(picture, fetch, signal) : picture;
  const { width, height } = await sizeOf(source);
  throwIfAborted(signal);
  const crop = cropOf(width, height, box);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(source);
  } catch (cause) {
    throw width * height > MAX_PIXELS ? undecodable(width, height, cause) : refused(cause);
  }
  if (signal.aborted) bitmap.close();
  throwIfAborted(signal);
  return { bitmap, crop };
}

async function download(address: string | URL, fetch: Fetch, signal: AbortSignal): Promise<Blob> {
  const url = toUrl(address);
  const response = await fetchOk(url, fetch, signal);
  return new Blob([await readBytes(response, url, signal)], { type: response.headers.get('content-type') ?? '' });
}

async function sizeOf(source: ImageBitmapSource): Promise<{ width: number; height: number }> {
  if (source instanceof Blob) return sizeOfFile(source);
  if (typeof source !== 'object' || source === null) throw notAnImage(source);
  if ('videoWidth' in source) {
    if (source.readyState < source.HAVE_CURRENT_DATA) {
      throw new CliperError('invalid-image', "The video has no frame yet: wait for its 'loadeddata' event.");
    }
    return { width: source.videoWidth, height: source.videoHeight };
  }
  if ('naturalWidth' in source) return sizeOfElement(source);
  if ('displayWidth' in source) return { width: source.displayWidth, height: source.displayHeight };
  const { width, height } = source;
  if (typeof width === 'number' && typeof height === 'number') return { width, height };
  if (width instanceof SVGAnimatedLength && height instanceof SVGAnimatedLength) {
    return { width: width.baseVal.value, height: height.baseVal.value };
  }
  throw notAnImage(source);
}

/** An element reads a file's size from its first bytes: a picture far too large is refused before it is decoded. */
async function sizeOfFile(file: Blob): Promise<{ width: number; height: number }> {
  const address = URL.createObjectURL(file);
  try {
    const element = new Image();
    element.src = address;
    await new Promise<void>((resolve, reject) => {
      element.onload = () => resolve();
      element.onerror = () => reject(notAnImage(file));
    });
    return { width: element.naturalWidth, height: element.naturalHeight };
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function sizeOfElement(element: HTMLImageElement): Promise<{ width: number; height: number }> {
  try {
    if (!element.complete) await element.decode();
  } catch (cause) {
    throw notAnImage(element, cause);
  }
  // A complete image without a size failed to load, or has no source at all.
  if (element.naturalWidth === 0) throw notAnImage(element);
  return { width: element.naturalWidth, height: element.naturalHeight };
}

function notAnImage(source: unknown, cause?: unknown): CliperError {
  const type = source instanceof Blob && source.type ? ` (${source.type})` : '';
  return new CliperError(
    'not-an-image',
    `This is not a picture that the browser can read${type}: give it a JPEG, PNG, WebP, GIF or AVIF file, or an element that shows one.`,
    { cause },
  );
}

function undecodable(width: number, height: number, cause: unknown): CliperError {
  return new CliperError(
    'image-too-large',
    `The browser could not decode a picture of ${width} x ${height} pixels: give it a smaller one.`,
    { cause },
  );
}

function refused(cause: unknown): CliperError {
  if (cause instanceof DOMException && cause.name === 'SecurityError') return protectedImage(cause);
  return notAnImage(undefined, cause);
}

/** The picture's origin does not let this page read its pixels. */
export function protectedImage(cause: unknown): CliperError {
  return new CliperError(
    'image-protected',
    "The picture comes from another origin, which does not let this page read its pixels: serve it from here, or with CORS headers and crossOrigin = 'anonymous' on the element.",
    { cause },
  );
}
