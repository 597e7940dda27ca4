// Part of a bitmap -> RGBA bytes, in the worker. No scaling: the engine resizes as the model was trained.

import type { Box } from '../shared/types.js';

export class PixelReader {
  readonly #canvas = new OffscreenCanvas(1, 1);
  // Read back every frame, so the canvas stays in memory, not on the GPU.
  readonly #context = this.#canvas.getContext('2d', { willReadFrequently: true });

  /** Takes the pixels of `crop` and closes the bitmap; pixels that were read elsewhere are those of their part. */
  read(bitmap: ImageBitmap | ImageData, { x, y, width, height }: Box): ImageData {
    if (bitmap instanceof ImageData) return bitmap;
    try {
      if (!this.#context) throw new Error('the browser has no memory left for a canvas');
      if (this.#canvas.width !== width) this.#canvas.width = width;
      if (this.#canvas.height !== height) this.#canvas.height = height;
      this.#context.globalCompositeOperation = 'copy';
      this.#context.drawImage(bitmap, -x, -y);
      return this.#context.getImageData(0, 0, width, height);
    } finally {
      bitmap.close();
    }
  }
}
