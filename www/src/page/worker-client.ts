// The page's end of a worker: calls with answers, and one failure that ends them all.

import { CliperError } from '../shared/errors.js';
import type { AnswerTo, Kind, Request, ToPage, ToWorker } from '../shared/protocol.js';
import { abortedBy } from './abort.js';

interface Pending {
  resolve(answer: AnswerTo<Kind>): void;
  reject(error: CliperError): void;
}

export class Connection {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #end: CliperError | undefined;

  constructor(createWorker: () => Worker) {
    try {
      this.#worker = createWorker();
    } catch (cause) {
      throw new CliperError(
        'worker-failed',
        "The worker could not be started: serve worker.js from the page's own origin, or pass `createWorker`.",
        { cause },
      );
    }
    this.#worker.addEventListener('message', ({ data }: MessageEvent<ToPage>) => this.#settle(data));
    this.#worker.addEventListener('messageerror', () => this.#fail('it sent something unreadable'));
    this.#worker.addEventListener('error', (event) => {
      event.preventDefault();
      // Without a message the script itself did not load.
      this.#fail(
        event.message || 'worker.js could not be loaded: check that it is served as JavaScript beside this module',
      );
    });
  }

  /** Asks the worker; what is in `transfer` is gone from here. */
  call<K extends Kind>(
    kind: K,
    request: Request<K>,
    { transfer = [], signal }: { transfer?: Transferable[]; signal?: AbortSignal | undefined } = {},
  ): Promise<AnswerTo<K>> {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      if (signal?.aborted) return reject(abortedBy(signal));
      const id = this.#next++;
      const abort = (): void => {
        this.#pending.delete(id);
        this.#worker.postMessage({ id, kind: 'cancel' } satisfies ToWorker);
        reject(abortedBy(signal as AbortSignal));
      };
      this.#worker.postMessage({ id, kind, request } as ToWorker, transfer);
      signal?.addEventListener('abort', abort, { once: true });
      this.#pending.set(id, {
        resolve: (answer) => {
          signal?.removeEventListener('abort', abort);
          resolve(answer as AnswerTo<K>);
        },
        reject: (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      });
    });
  }

  /** Ends the worker; every call, waiting or to come, fails with `error`. A later reason replaces an earlier one. */
  close(error: CliperError): void {
    this.#end = error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #settle(message: ToPage): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('answer' in message) {
      pending?.resolve(message.answer);
      return;
    }
    const error = new CliperError(message.error.code, message.error.message);
    pending?.reject(error);
    if (error.code === 'engine-panicked') this.close(error);
  }

  #fail(why: string): void {
    this.close(
      new CliperError('worker-failed', `The worker failed (${why}): dispose this recognizer and create a new one.`),
    );
  }
}
