// Bitmap -> RGBA bytes, in the worker. No scaling: the engine resizes as the model was trained.

export class PixelReader {
  readonly #canvas = new OffscreenCanvas(1, 1);
  // Read back every frame, so the canvas stays in memory, not on the GPU.
  readonly #context = this.#canvas.getContext('2d', { willReadFrequently: true });

  /** Takes the bitmap's pixels and closes it. */
  read(bitmap: ImageBitmap): ImageData {
    const { width, height } = bitmap;
    try {
      if (!this.#context) throw new Error('the browser has no memory left for a canvas');
      if (this.#canvas.width !== width) this.#canvas.width = width;
      if (this.#canvas.height !== height) this.#canvas.height = height;
      this.#context.globalCompositeOperation = 'copy';
      this.#context.drawImage(bitmap, 0, 0);
      return this.#context.getImageData(0, 0, width, height);
    } finally {
      bitmap.close();
    }
  }
}
