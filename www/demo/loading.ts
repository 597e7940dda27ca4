// The start as a visitor sees it: one bar, its stage and megabytes by name, and the question before a large download.

import type { Progress } from '../src/index.js';
import { byId, megabytes, setText } from './dom.js';
import { fill, strings } from './strings.js';

export class Loading {
  readonly #loading = byId('loading', HTMLElement);
  readonly #ask = byId('ask', HTMLElement);

  progress({ stage, loaded, total }: Progress): void {
    this.#loading.hidden = stage === 'ready';
    setText('stage-name', strings[stage]);
    if (stage !== 'download') setText('stage-size', '');
    byId('progress', HTMLProgressElement).value = loaded / total;
  }

  size(loaded: number, total: number): void {
    setText('stage-size', fill(strings.ofMegabytes, { loaded: megabytes(loaded), total: megabytes(total) }));
  }

  /** A film is looked at, frame after frame. */
  film(done: number, total: number): void {
    this.#loading.hidden = false;
    setText('stage-name', fill(strings.looking, { done, total }));
    setText('stage-size', '');
    byId('progress', HTMLProgressElement).value = done / total;
  }

  /** Whether so many bytes may be downloaded: the visitor's answer. */
  ask(bytes: number): Promise<boolean> {
    const size = megabytes(bytes);
    setText('ask-sentence', fill(strings.large, { size }));
    setText('ask-yes', fill(strings.fetchIt, { size }));
    this.#ask.hidden = false;
    return new Promise((resolve) => {
      const answer = (isWanted: boolean) => () => {
        this.#ask.hidden = true;
        resolve(isWanted);
      };
      byId('ask-yes', HTMLButtonElement).onclick = answer(true);
      byId('ask-no', HTMLButtonElement).onclick = answer(false);
    });
  }

  /** From the beginning, for another model or device. */
  start(): void {
    this.#loading.hidden = false;
    this.#ask.hidden = true;
    setText('stage-name', strings.gettingReady);
    setText('stage-size', '');
    byId('progress', HTMLProgressElement).value = 0;
  }

  /** There is no model for now: the bar goes, a sentence elsewhere says what to do. */
  stop(): void {
    this.#loading.hidden = true;
    this.#ask.hidden = true;
  }
}
