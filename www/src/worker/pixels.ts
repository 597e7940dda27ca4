// Part of a bitmap or a frame -> RGBA bytes, in the worker. No scaling: the engine resizes as the model was trained.

import type { Shown } from '../shared/protocol.js';
import type { Box } from '../shared/types.js';

/** A pixel's bytes, and the format that a frame is asked for. */
const RGBA = 4;
/** Pixels from which a bitmap is read part by part: more than a film of 1920 x 1080 has. */
const LARGE = 2 ** 21;

export class PixelReader {
  readonly #canvas = new OffscreenCanvas(1, 1);
  // Read back every frame, so the canvas stays in memory, not on the GPU.
  readonly #context = this.#canvas.getContext('2d', { willReadFrequently: true });

  /** Takes the pixels of `crop` and closes what holds them; pixels that were read elsewhere are those of their part. */
  async read(shown: Shown | ImageData, crop: Box): Promise<ImageData> {
    if (shown instanceof ImageData) return shown;
    try {
      return (isFrame(shown) ? await copy(shown, crop) : undefined) ?? this.draw(shown, crop);
    } finally {
      shown.close();
    }
  }

  /** What reads a large photo's parts when they are looked at: the engine never holds all of it. */
  inParts(shown: Shown | ImageData, crop: Box): PixelParts | undefined {
    const isLarge = crop.width * crop.height > LARGE;
    if (!isLarge || shown instanceof ImageData || isFrame(shown)) return undefined;
    return new PixelParts(this, shown, crop);
  }

  /** A part of it, by way of the canvas. */
  draw(shown: Shown, { x, y, width, height }: Box): ImageData {
    if (!this.#context) throw new Error('the browser has no memory left for a canvas');
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    this.#context.globalCompositeOperation = 'copy';
    this.#context.drawImage(shown, -x, -y);
    return this.#context.getImageData(0, 0, width, height);
  }
}

/** A bitmap of which parts are read; it stays open until it is closed. */
export class PixelParts {
  constructor(
    private readonly reader: PixelReader,
    private readonly bitmap: ImageBitmap,
    private readonly crop: Box,
  ) {}

  get width(): number {
    return this.crop.width;
  }

  get height(): number {
    return this.crop.height;
  }

  /** RGBA `[height, width, 4]` of a part of the crop. */
  read(left: number, top: number, width: number, height: number): Uint8Array {
    const { x, y } = this.crop;
    return new Uint8Array(this.reader.draw(this.bitmap, { x: x + left, y: y + top, width, height }).data.buffer);
  }

  /** All of it. */
  whole(): ImageData {
    return this.reader.draw(this.bitmap, this.crop);
  }

  close(): void {
    this.bitmap.close();
  }
}

function isFrame(shown: Shown): shown is VideoFrame {
  return 'copyTo' in shown;
}

/** The frame's own pixels; undefined where the browser can't copy them, as from the middle of a pixel of its colours. */
async function copy(frame: VideoFrame, { width, height, ...corner }: Box): Promise<ImageData | undefined> {
  const { x = 0, y = 0 } = frame.visibleRect ?? {};
  const data = new Uint8ClampedArray(RGBA * width * height);
  const rect = { x: x + corner.x, y: y + corner.y, width, height };
  try {
    await frame.copyTo(data, { rect, format: 'RGBA', colorSpace: 'srgb' });
  } catch {
    return undefined;
  }
  return new ImageData(data, width, height);
}
