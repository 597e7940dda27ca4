// What both elements have in common: attributes as properties, one task at a time, faces in boxes, failures in place.

import {
  type Box,
  CliperError,
  type CreateOptions,
  type ExpressionRecognizer,
  type FaceRecognition,
  notice,
  type Recognition,
} from '../index.js';
import { forget, type Lease, lease } from './shared-recognizer.js';
import { STYLE } from './style.js';

/** Servers render pages without elements: there the classes are empty, and never made. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** What an element does now. */
export type ElementState = 'idle' | 'loading' | 'running' | 'done' | 'failed';

/** An answer that an element shows: of each face, or of the whole picture. */
export type ElementAnswer = FaceRecognition | Recognition;

export abstract class CliperElement extends Base {
  static readonly observed = ['device', 'model', 'assets', 'whole', 'lang'];
  /** `auto`, `webgpu` or `cpu`. */
  declare device: string;
  /** Address of a bundle's model.json; without it the built-in model looks. */
  declare model: string;
  /** Folder of the package's files, where a bundler leaves them. */
  declare assets: string;
  /** Look at the centre square as one face, instead of finding faces. */
  declare whole: boolean;

  readonly #stage: HTMLElement;
  readonly #faces = part('div', 'faces');
  readonly #progress = part('progress', 'progress');
  readonly #problem = part('p', 'problem');
  readonly #fallback = part('slot', 'fallback');
  readonly #notice = part('p', 'notice');
  #state: ElementState = 'idle';
  #answer: ElementAnswer | undefined;
  #lease: Lease | undefined;
  #running = new AbortController();

  /** `media` is what is shown, `controls` lie beneath it. */
  constructor(media: HTMLElement, ...controls: HTMLElement[]) {
    super();
    const root = this.attachShadow({ mode: 'open' });
    const style = document.createElement('style');
    style.textContent = STYLE;
    this.#stage = part('div', 'stage');
    this.#stage.append(media, this.#faces, this.#progress);
    this.#progress.hidden = true;
    this.#progress.ariaLabel = 'Loading';
    this.#problem.setAttribute('role', 'alert');
    this.#fallback.append(this.#problem);
    this.#fallback.hidden = true;
    const noticeSlot = document.createElement('slot');
    noticeSlot.name = 'notice';
    noticeSlot.append(this.#notice);
    root.append(style, this.#stage, this.#fallback, ...controls, noticeSlot);
  }

  /** What it does now. */
  get state(): ElementState {
    return this.#state;
  }

  /** The newest answer. */
  get answer(): ElementAnswer | undefined {
    return this.#answer;
  }

  connectedCallback(): void {
    this.#translate();
    // Frameworks may set properties before the element is defined: they would hide the class's own.
    for (const name of Object.keys(this)) {
      const value = (this as Record<string, unknown>)[name];
      delete (this as Record<string, unknown>)[name];
      (this as Record<string, unknown>)[name] = value;
    }
  }

  disconnectedCallback(): void {
    this.halt();
    this.#lease?.release();
    this.#lease = undefined;
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || !this.isConnected) return;
    if (name === 'lang') {
      this.#translate();
      return;
    }
    if (['device', 'model', 'assets'].includes(name)) {
      this.#lease?.release();
      this.#lease = undefined;
    }
    this.changed();
  }

  /** An attribute changed while the element is in a page. */
  protected abstract changed(): void;

  /** Of what is shown, in its own pixels. */
  protected abstract get size(): { width: number; height: number };

  /** Whether it is shown as in a mirror. */
  protected get isMirrored(): boolean {
    return false;
  }

  /** Runs `task` in place of the one before; its failure is shown, and told by an event. */
  protected async run(
    task: (recognizer: Promise<ExpressionRecognizer>, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    this.halt();
    const { signal } = this.#running;
    this.#become('loading');
    this.#lease ??= lease(this.#options());
    const { recognizer } = this.#lease;
    recognizer.then(
      ({ info }) => signal.aborted || this.dispatchEvent(new CustomEvent('ready', { detail: info })),
      () => {},
    );
    try {
      await task(recognizer, signal);
      if (!signal.aborted) this.#become('done');
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof CliperError && ['engine-panicked', 'worker-failed', 'disposed'].includes(error.code))
        forget(recognizer);
      this.#lease?.release();
      this.#lease = undefined;
      this.#problem.textContent = error instanceof Error ? error.message : String(error);
      this.#become('failed');
      this.dispatchEvent(new CustomEvent('failure', { detail: error }));
    }
  }

  /** Ends what runs. */
  protected halt(): void {
    this.#running.abort();
    this.#running = new AbortController();
    this.#faces.replaceChildren();
    this.#become('idle');
  }

  /** The task is under way. */
  protected begin(): void {
    this.#become('running');
  }

  /** Shows an answer, and tells of it. */
  protected show(answer: ElementAnswer): void {
    this.#answer = answer;
    const { width, height } = this.size;
    if (width > 0 && height > 0) this.#stage.style.aspectRatio = this.whole ? '1' : `${width} / ${height}`;
    const named = 'faces' in answer ? answer.faces : [{ ...answer, box: { x: 0, y: 0, width, height } }];
    this.#faces.replaceChildren(
      ...named.map(({ box, top, uncertain }) => {
        const label = part('span', 'label');
        label.textContent = uncertain ? 'uncertain' : `${top.name} ${Math.round(top.score * 100)} %`;
        const face = part('div', 'face');
        face.append(label);
        const x = this.isMirrored ? width - box.x - box.width : box.x;
        place(face, { ...box, x }, { width, height });
        return face;
      }),
    );
    this.dispatchEvent(new CustomEvent('answer', { detail: answer }));
  }

  #translate(): void {
    this.#notice.textContent = notice(this.closest<HTMLElement>('[lang]')?.lang);
  }

  #become(state: ElementState): void {
    this.#state = state;
    this.#progress.hidden = state !== 'loading';
    this.#fallback.hidden = state !== 'failed';
    this.#stage.hidden = state === 'failed';
  }

  #options(): CreateOptions {
    const { device, model, assets } = this;
    return {
      ...(device ? { device: device as NonNullable<CreateOptions['device']> } : {}),
      ...(model ? { model } : {}),
      ...(assets ? { assets } : {}),
    };
  }
}

/** An element with the name that styles find it by. */
export function part<K extends keyof HTMLElementTagNameMap>(tag: K, name: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.setAttribute('part', name);
  return made;
}

/** Makes attributes readable and writable as properties: texts, and switches that are on when they are there. */
export function reflect(type: { prototype: HTMLElement }, names: { texts: string[]; switches: string[] }): void {
  const attribute = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  for (const name of names.texts) {
    Object.defineProperty(type.prototype, name, {
      get(this: HTMLElement) {
        return this.getAttribute(attribute(name)) ?? '';
      },
      set(this: HTMLElement, value: unknown) {
        if (value === null || value === undefined) this.removeAttribute(attribute(name));
        else this.setAttribute(attribute(name), String(value));
      },
    });
  }
  for (const name of names.switches) {
    Object.defineProperty(type.prototype, name, {
      get(this: HTMLElement) {
        return this.hasAttribute(attribute(name));
      },
      set(this: HTMLElement, value: unknown) {
        this.toggleAttribute(attribute(name), Boolean(value));
      },
    });
  }
}

function place(what: HTMLElement, box: Box, { width, height }: { width: number; height: number }): void {
  const share = (length: number, whole: number): string => `${(100 * length) / whole}%`;
  Object.assign(what.style, {
    left: share(box.x, width),
    top: share(box.y, height),
    width: share(box.width, width),
    height: share(box.height, height),
  });
}
