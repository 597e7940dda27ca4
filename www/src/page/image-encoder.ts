/// <reference lib="esnext.disposable" preserve="true" />
// The encoder alone: pixels that the page prepared -> embeddings.

import { CliperError } from '../shared/errors.js';
import type { Counters, ImageEncoderInfo, ImageEncoderOptions, Precision } from '../shared/types.js';
import { inWords } from '../shared/values.js';
import { throwIfAborted } from './abort.js';
import { disposeSymbol } from './dispose.js';
import { checkPrecision, EngineClient } from './engine-client.js';
import { locateAssets } from './files.js';

/**
 * A bundle's image encoder without pictures, windows and expressions: for embeddings of one's own, and for measuring.
 * Every instance has a worker of its own. Every error is a {@link CliperError} with a `code`.
 *
 * @example
 * const encoder = await ImageEncoder.create({ model: '/my-bundle/model.json', device: 'auto' });
 * const { channels, side, mean, std, embedding } = encoder.info;
 * const pixels = new Float32Array(2 * channels * side * side); // two pictures, channel after channel, (value / 255 - mean) / std
 * const embeddings = await encoder.encode(pixels);             // 2 * embedding values, of any length
 * encoder.dispose();
 */
export class ImageEncoder {
  readonly #engine: EngineClient;
  readonly #precision: Precision;

  private constructor(engine: EngineClient, precision: Precision) {
    this.#engine = engine;
    this.#precision = precision;
  }

  /** What runs, and on what: a new object where the device was lost. */
  get info(): Readonly<ImageEncoderInfo> {
    const {
      window: _,
      expressions: __,
      card: ___,
      uncertainBelow: ____,
      wholePicture: _____,
      ...info
    } = this.#engine.info;
    return { ...info, precision: this.#precision };
  }

  /**
   * Downloads the bundle, or takes its files, and opens its encoder on the best device. The golden self-test has
   * passed and every pipeline is compiled when it resolves.
   *
   * @throws {CliperError} as `ExpressionRecognizer.create`
   *
   * @example
   * input.onchange = async () => {
   *   const encoder = await ImageEncoder.create({ model: input.files, precision: 'int8' });
   * };
   */
  static async create(options: ImageEncoderOptions = {}): Promise<ImageEncoder> {
    const { precision = 'f32' } = options;
    checkPrecision(precision);
    return new ImageEncoder(await EngineClient.open({ ...locateAssets(options), precision }, {}), precision);
  }

  /**
   * Embeds a batch of any size.
   *
   * @param pixels `[batch, channels, side, side]`, normalised with `info.mean` and `info.std`; it stays yours
   * @returns `[batch, embedding]`, of any length: divide by its length for cosines
   * @throws {CliperError} `invalid-argument` (no whole pictures, or a value that is not finite), `device-unavailable`
   * (the device was lost, and no other one opens), `aborted`, `disposed`
   */
  async encode(pixels: Float32Array, options: { signal?: AbortSignal } = {}): Promise<Float32Array> {
    const { signal } = options;
    if (signal) throwIfAborted(signal);
    const { channels, side } = this.info;
    const values = channels * side * side;
    if (!(pixels instanceof Float32Array) || pixels.length === 0 || pixels.length % values !== 0) {
      const found = pixels instanceof Float32Array ? `${pixels.length} values` : inWords(pixels);
      throw new CliperError(
        'invalid-argument',
        `The pixels (${found}) are no batch of pictures: give a Float32Array of ${channels} x ${side} x ${side} values for each.`,
      );
    }
    return this.#engine.call('encode', { pixels }, { signal });
  }

  /** Passes, uploads, dispatches and read-backs so far. */
  counters(): Promise<Counters> {
    return this.#engine.call('counters', null);
  }

  /** Ends the worker and frees all memory; every call, waiting or to come, fails with `disposed`. */
  dispose(): void {
    this.#engine.close(new CliperError('disposed', 'This encoder was disposed: create a new one.'));
  }

  /** For `using encoder = await ImageEncoder.create()`. */
  [disposeSymbol](): void {
    this.dispose();
  }
}
