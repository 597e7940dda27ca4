// The page's end of a worker: calls with answers, and one failure that ends them all.

import { CliperError } from '../shared/errors.js';
import type { AnswerTo, Kind, Request, ToPage, ToWorker } from '../shared/protocol.js';
import { VERSION, versionMismatch } from '../shared/version.js';
import { abortedBy } from './abort.js';
import { Unanswered } from './device-loss.js';

/** How a call is made. */
export interface CallOptions {
  /** What is gone from here with the call. */
  transfer?: Transferable[];
  signal?: AbortSignal | undefined;
}

/** Whoever takes calls for a worker. */
export interface Caller {
  call<K extends Kind>(kind: K, request: Request<K>, options?: CallOptions): Promise<AnswerTo<K>>;
}

interface Pending {
  resolve(answer: AnswerTo<Kind>): void;
  reject(error: CliperError): void;
}

export class Connection implements Caller {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #helpers: Connection[] = [];
  #next = 0;
  #end: CliperError | undefined;

  /** `onFail` is told of a worker that fails by itself. */
  constructor(
    private readonly createWorker: () => Worker,
    private readonly onFail?: (error: CliperError) => void,
  ) {
    try {
      this.#worker = createWorker();
    } catch (cause) {
      throw new CliperError(
        'worker-failed',
        "The worker could not be started: serve worker.js from the page's own origin, or name the folder that holds the package's files with `assets`; a Content-Security-Policy needs worker-src 'self'.",
        { cause },
      );
    }
    this.#worker.addEventListener('message', ({ data }: MessageEvent<ToPage>) => this.#settle(data));
    this.#worker.addEventListener('messageerror', () => this.#fail('it sent something unreadable'));
    this.#worker.addEventListener('error', (event) => {
      event.preventDefault();
      // Without a message the script itself did not load.
      this.#fail(
        event.message ||
          "worker.js or what it imports could not be loaded: check that it is served as JavaScript beside this module, and that a Content-Security-Policy has worker-src 'self'",
      );
    });
  }

  /** Asks the worker; what is in `transfer` is gone from here. */
  call<K extends Kind>(
    kind: K,
    request: Request<K>,
    { transfer = [], signal }: CallOptions = {},
  ): Promise<AnswerTo<K>> {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      if (signal?.aborted) return reject(abortedBy(signal));
      const id = this.#next++;
      const abort = (): void => {
        this.#pending.delete(id);
        this.#worker.postMessage({ id, version: VERSION, kind: 'cancel' } satisfies ToWorker);
        reject(abortedBy(signal as AbortSignal));
      };
      this.#worker.postMessage({ id, version: VERSION, kind, request } as ToWorker, transfer);
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

  /** Starts helpers of this worker's engine, which end with it, as it does with each of them. */
  async startHelpers(count: number, start: Request<'help'>, signal: AbortSignal): Promise<void> {
    const helpers = Array.from(
      { length: count },
      () => new Connection(this.createWorker, (error) => this.close(error)),
    );
    this.#helpers.push(...helpers);
    await Promise.all(helpers.map((helper) => helper.call('help', start, { signal })));
  }

  /** Ends the worker; every call, waiting or to come, fails with `error`. A later reason replaces an earlier one. */
  close(error: CliperError): void {
    this.#end = error;
    this.#worker.terminate();
    for (const helper of this.#helpers) helper.close(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #settle(message: ToPage): void {
    if (message.version !== VERSION) {
      this.#closeAll(versionMismatch('The worker', message.version));
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('answer' in message) {
      pending?.resolve(message.answer);
      return;
    }
    const { error: told, frame } = message;
    const error = frame ? new Unanswered(told, frame) : new CliperError(told.code, told.message);
    pending?.reject(error);
    if (error.code === 'engine-panicked') this.close(error);
  }

  #fail(why: string): void {
    const message = `The worker failed (${why}): dispose this recognizer and create a new one.`;
    this.#closeAll(new CliperError('worker-failed', message));
  }

  /** Ends the worker, and those that depend on it. */
  #closeAll(error: CliperError): void {
    this.close(error);
    this.onFail?.(error);
  }
}
