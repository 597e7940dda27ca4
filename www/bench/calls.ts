// Calls of a worker that answers each with a value or an error: the little that the peers' workers need.

interface Answer {
  id: number;
  value?: unknown;
  error?: string;
}

/** The page's end. */
export class Caller {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data: { id, value, error } }: MessageEvent<Answer>) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(error));
    };
    worker.onerror = ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message || 'the worker could not be loaded'));
      this.#waiting.clear();
    };
  }

  call<T>(kind: string, request: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ id, kind, request });
    });
  }

  close(): void {
    this.#worker.terminate();
  }
}

/** The worker's end. */
export function answer(handlers: Record<string, (request: never) => unknown>): void {
  self.onmessage = async ({ data: { id, kind, request } }: MessageEvent) => {
    try {
      self.postMessage({ id, value: await handlers[kind]?.(request as never) });
    } catch (thrown) {
      self.postMessage({ id, error: String(thrown) });
    }
  };
}
