// A bundle's text side, in a worker of its own: fetched when somebody first brings words, and in no stream's way.

import { CliperError } from '../shared/errors.js';
import type { EmbeddedSentence } from '../shared/protocol.js';
import type { EngineOptions } from '../shared/types.js';
import { abortable } from './abort.js';
import { createWorker, wasmAddress } from './files.js';
import { type BundleDownload, loadWasm, nameOf } from './loader.js';
import { Connection } from './worker-client.js';

/** Part of the download that is the engine's, beside the text side's own files. */
const ENGINE_PART = 0.05;

export class TextClient {
  #opening: Promise<Connection> | undefined;
  #connection: Connection | undefined;

  constructor(
    private readonly options: EngineOptions,
    /** Ends with the recognizer. */
    private readonly signal: AbortSignal,
  ) {}

  /**
   * The sentences in the joint space of a bundle's faces, `width` wide.
   *
   * @throws {CliperError} `unsupported-bundle` where it has no text side, `invalid-text`, `network`, `damaged-file`
   */
  async embed(
    texts: readonly string[],
    bundle: BundleDownload,
    width: number,
    { signal, onProgress }: { signal?: AbortSignal | undefined; onProgress?: ((fraction: number) => void) | undefined },
  ): Promise<EmbeddedSentence[]> {
    // One that failed is opened again by the next call; one that is given up goes on for the others.
    this.#opening ??= this.#open(bundle, width, onProgress).catch((thrown: unknown) => {
      this.#opening = undefined;
      throw thrown;
    });
    const connection = await (signal ? abortable(this.#opening, signal) : this.#opening);
    onProgress?.(1);
    return connection.call('embed', { texts: [...texts] }, { signal });
  }

  close(error: CliperError): void {
    this.#connection?.close(error);
  }

  async #open(bundle: BundleDownload, width: number, onProgress?: (fraction: number) => void): Promise<Connection> {
    const { signal, options } = this;
    const text = bundle.textSide({ signal, onProgress: (part) => onProgress?.(part * (1 - ENGINE_PART)) });
    const read = async (path: string): Promise<Uint8Array<ArrayBuffer>> => {
      const file = text.files.find((file) => file.path === path);
      const found = file && (await text.download.read(file));
      if (!found || (found.sha256 ?? file.sha256) !== file.sha256) {
        throw new CliperError(
          'damaged-file',
          `${nameOf(text.download.addressOf(path))} is not the file that was packed: fetch it again or pack the model again.`,
        );
      }
      return found.bytes;
    };
    // All waited for at once: none fails unheard after another.
    const [wasm, description, weights] = await Promise.all([
      loadWasm(wasmAddress('text', options.wasmUrl), options, signal),
      read(text.tokenizer),
      read(text.weights),
    ]);
    const connection = new Connection(options.createWorker ?? createWorker);
    this.#connection = connection;
    try {
      const request = { wasm, description, weights, width };
      await connection.call('loadText', request, { transfer: [description.buffer, weights.buffer], signal });
      return connection;
    } catch (thrown) {
      connection.close(new CliperError('worker-failed', 'The text side did not open: call again.'));
      throw thrown;
    }
  }
}
