// The one recognizer of the page, made as the settings say and made anew when they change.

import { type CreateOptions, ExpressionRecognizer, type FaceRecognition } from '../src/index.js';

export type Recognizer = ExpressionRecognizer<FaceRecognition>;

export class CurrentRecognizer {
  #created: Promise<Recognizer> | undefined;
  #starting = new AbortController();

  /** `options`: what to create it with, asked for each time. */
  constructor(
    private readonly options: () => CreateOptions,
    private readonly onReady: (recognizer: Recognizer) => void,
  ) {}

  /** It, made if there is none; after a failure the next call tries again. */
  get(): Promise<Recognizer> {
    if (this.#created) return this.#created;
    const { signal } = this.#starting;
    const created = ExpressionRecognizer.create({ ...this.options(), signal, faces: true }).then((recognizer) => {
      this.onReady(recognizer);
      return recognizer;
    });
    this.#created = created;
    created.catch(() => {
      if (this.#created === created) this.#created = undefined;
    });
    return created;
  }

  /** Ends it, or its start: the next call makes another one. */
  drop(): void {
    this.#starting.abort();
    this.#starting = new AbortController();
    void this.#created?.then(
      (recognizer) => recognizer.dispose(),
      () => {},
    );
    this.#created = undefined;
  }
}
