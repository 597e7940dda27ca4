// What runs, and how fast.

import type { RecognizerInfo, Timings } from '../src/index.js';
import { byId, setText } from './dom.js';
import { fill, strings } from './strings.js';

export class Facts {
  readonly #latency = byId('latency', HTMLButtonElement);
  readonly #stages = byId('stages', HTMLElement);

  constructor() {
    this.#latency.addEventListener('click', () => {
      this.#stages.hidden = !this.#stages.hidden;
      this.#latency.setAttribute('aria-expanded', `${!this.#stages.hidden}`);
    });
  }

  info({ device, adapter, model, parameters, licence, card, fallback }: RecognizerInfo): void {
    const name = device === 'webgpu' ? 'WebGPU' : 'CPU';
    const shown = adapter && adapter.toLowerCase() !== device ? `${name} · ${adapter}` : name;
    setText('device', shown);
    setText('adapter', shown);
    setText('fallback', fallback ?? '');
    byId('fallback', HTMLElement).hidden = fallback === undefined;
    setText('about', fill(strings.about, { model, parameters: (parameters / 1e6).toFixed(1), licence }));
    if (card) byId('card', HTMLAnchorElement).href = card;
  }

  /** Milliseconds of one look, and where they go. */
  latency({ decode, engine, total }: Timings): void {
    const waiting = Math.max(total - decode - engine, 0);
    const [some, most, rest] = [decode, engine, waiting].map((milliseconds) => milliseconds.toFixed(1));
    this.#latency.disabled = false;
    setText('latency', `${total < 10 ? total.toFixed(1) : total.toFixed()} ms`);
    setText('stages', fill(strings.stages, { decode: some ?? '', engine: most ?? '', waiting: rest ?? '' }));
  }

  /** Of a stream: frames that the camera shows, and answers. */
  rates(camera: number, answers: number): void {
    const say = (rate: number): string => fill(strings.aSecond, { rate: rate.toFixed(rate < 10 ? 1 : 0) });
    setText('camera-rate', say(camera));
    setText('rate', say(answers));
  }

  clear(): void {
    for (const id of ['latency', 'camera-rate', 'rate']) setText(id, '–');
    this.#latency.disabled = true;
    this.#latency.setAttribute('aria-expanded', 'false');
    this.#stages.hidden = true;
  }
}
