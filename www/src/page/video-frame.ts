// What a video shows now -> a frame that the worker reads, or a bitmap of the size that it is shown in: turned, its pixels made square.

import { CliperError } from '../shared/errors.js';
import { abortable } from './abort.js';

/** Milliseconds after which a video that has data, but no frame in hand, will not give one. */
const PATIENCE = 10_000;

/** Milliseconds between two looks for a frame: on a busy machine the first one may be forgotten. */
const AGAIN = 250;

/** A canvas a source: what another origin's picture was drawn on once stays unreadable. */
const canvases = new WeakMap<object, OffscreenCanvas>();

/**
 * A frame as it is, to be read in the worker: a fifth of what drawing and reading a canvas costs. Undefined where its pixels
 * are not those that are shown, or the browser doesn't say (`rotation`): such a frame has to be drawn.
 */
export function takeFrame(source: HTMLVideoElement | VideoFrame): VideoFrame | undefined {
  if (typeof VideoFrame !== 'function' || !('rotation' in VideoFrame.prototype)) return undefined;
  let frame: VideoFrame;
  try {
    frame = source instanceof VideoFrame ? source.clone() : new VideoFrame(source, { timestamp: 0 });
  } catch (thrown) {
    // There is none yet, or it was closed.
    if (isInvalidState(thrown)) return undefined;
    throw thrown;
  }
  if (isAsShown(frame)) return frame;
  frame.close();
  return undefined;
}

/** Upright, whole, and with square pixels. */
function isAsShown(frame: VideoFrame & { rotation?: number; flip?: boolean }): boolean {
  const { rotation, flip, visibleRect, displayWidth, displayHeight } = frame;
  return (
    rotation === 0 && flip === false && visibleRect?.width === displayWidth && visibleRect.height === displayHeight
  );
}

/**
 * Draws a film's frame in the size that it is shown in. `createImageBitmap` would do on Chromium alone: Firefox leaves
 * films unturned there, and oblong pixels as they are.
 */
export function drawFrame(source: HTMLVideoElement | VideoFrame, width: number, height: number): ImageBitmap {
  const canvas = canvases.get(source) ?? new OffscreenCanvas(width, height);
  canvases.set(source, canvas);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) throw new DOMException('the browser has no memory left for a canvas', 'InvalidStateError');
  context.globalCompositeOperation = 'copy';
  context.drawImage(source, 0, 0, width, height);
  return canvas.transferToImageBitmap();
}

/**
 * Waits until there is a frame to draw. Chromium says that data is there before it has decoded a frame, draws nothing
 * until then, and decodes one of a paused film only when asked for it.
 *
 * @throws {CliperError} `invalid-image` where none comes
 */
export async function awaitFrame(video: HTMLVideoElement, signal: AbortSignal): Promise<void> {
  if (video.readyState < video.HAVE_CURRENT_DATA || video.videoWidth === 0) throw noFrame();
  if (await hasFrame(video)) return;
  if (!('requestVideoFrameCallback' in video)) throw noFrame();
  const listening = new AbortController();
  const frame = new Promise<void>((resolve, reject) => {
    const handle = video.requestVideoFrameCallback(() => resolve());
    const timer = setTimeout(() => reject(noFrame()), PATIENCE);
    const again = setInterval(() => void hasFrame(video).then((has) => has && resolve()), AGAIN);
    const give = { signal: listening.signal };
    for (const event of ['emptied', 'error']) video.addEventListener(event, () => reject(noFrame()), give);
    listening.signal.addEventListener('abort', () => {
      video.cancelVideoFrameCallback(handle);
      clearTimeout(timer);
      clearInterval(again);
    });
  });
  try {
    await abortable(frame, signal);
  } finally {
    listening.abort();
  }
}

async function hasFrame(video: HTMLVideoElement): Promise<boolean> {
  if (typeof VideoFrame !== 'function') return true;
  try {
    new VideoFrame(video, { timestamp: 0 }).close();
    return true;
  } catch (thrown) {
    if (!isInvalidState(thrown)) return true; // of another origin: reading its pixels says so with a reason
  }
  try {
    (await createImageBitmap(video)).close();
    return true;
  } catch (thrown) {
    return !isInvalidState(thrown);
  }
}

function isInvalidState(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === 'InvalidStateError';
}

function noFrame(): CliperError {
  return new CliperError('invalid-image', "The video has no frame yet: wait for its 'loadeddata' event.");
}
