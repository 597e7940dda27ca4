// What the page shows: each method writes one part of it, none of them decides anything.

import type { Displayed, Prediction, Progress, RecognizedFace, RecognizerInfo } from '../src/index.js';

const STAGES: Record<Progress['stage'], string> = {
  download: 'Downloading the model',
  compile: 'Starting the engine',
  verify: 'Checking the model',
  upload: 'Loading the model',
  warmup: 'Testing your device',
  ready: 'Ready',
};
const DESCRIPTORS_SHOWN = 4;

export type Shows = 'nothing' | 'camera' | 'picture';

export class View {
  readonly stage = byId('stage', HTMLElement);
  readonly video = byId('video', HTMLVideoElement);
  readonly picture = byId('picture', HTMLImageElement);
  readonly cameraButton = byId('camera', HTMLButtonElement);
  readonly sampleButton = byId('sample', HTMLButtonElement);
  readonly fileInput = byId('file', HTMLInputElement);
  readonly card = byId('card', HTMLAnchorElement);
  readonly cardDialog = byId('card-dialog', HTMLDialogElement);
  readonly facesInput = byId('find-faces', HTMLInputElement);
  readonly #faces = byId('faces', HTMLElement);
  readonly #boxes = new Map<number, HTMLElement>();
  readonly #bars = byId('bars', HTMLElement);
  #rows: { row: HTMLElement; bar: HTMLElement; score: HTMLElement; name: string }[] = [];

  /** What stands in the square. */
  show(shows: Shows): void {
    this.stage.dataset.shows = shows;
    this.cameraButton.textContent = shows === 'camera' ? 'Stop camera' : 'Start camera';
    this.#bars.classList.toggle('is-still', shows !== 'camera');
    if (shows === 'nothing') this.frame(undefined);
  }

  progress({ stage, loaded, total }: Progress): void {
    byId('loading', HTMLElement).hidden = stage === 'ready';
    text('stage-name', STAGES[stage]);
    byId('progress', HTMLProgressElement).value = loaded / total;
  }

  /** A sentence in place, or nothing. */
  problem(sentence: string | undefined): void {
    const place = byId('problem', HTMLElement);
    place.hidden = sentence === undefined;
    place.textContent = sentence ?? '';
  }

  /** The model cannot be had for now: the bar goes, the sentence says what to do. */
  stopLoading(): void {
    byId('loading', HTMLElement).hidden = true;
  }

  info(info: RecognizerInfo): void {
    const device = info.device === 'webgpu' ? 'WebGPU' : 'CPU';
    text('device', info.adapter && info.adapter.toLowerCase() !== info.device ? `${device} · ${info.adapter}` : device);
    text('model', ` · ${info.model}, ${(info.parameters / 1e6).toFixed(1)} million parameters, ${info.licence}`);
    if (info.card) this.card.href = info.card;
    const fallback = byId('fallback', HTMLElement);
    fallback.textContent = info.fallback ?? '';
    fallback.hidden = info.fallback === undefined;
    this.#rows = info.expressions.map((name) => createRow(name));
    this.#bars.replaceChildren(...this.#rows.map(({ row }) => row));
  }

  /** No result: the one before belongs to what was shown before. */
  clear(): void {
    for (const { row, bar, score } of this.#rows) {
      bar.style.transform = '';
      score.textContent = '';
      row.classList.remove('is-top');
    }
    text('top-name', '–');
    text('top-score', '');
    text('latency', '–');
    text('rate', '–');
    this.faces([], undefined);
    this.stage.classList.remove('without-face');
    byId('descriptors', HTMLElement).replaceChildren();
    byId('explained', HTMLElement).hidden = false;
  }

  /** Scores in the order of `info.expressions`, and what to name: the highest one, unless `shown` says otherwise. */
  scores(scores: readonly number[], shown?: Pick<Displayed, 'top' | 'uncertain'>): void {
    this.stage.classList.remove('without-face');
    const named = this.#rows.findIndex(({ name }) => name === shown?.top.name);
    const top = named < 0 ? scores.indexOf(Math.max(...scores)) : named;
    for (const [index, { row, bar, score, name }] of this.#rows.entries()) {
      const value = scores[index] ?? 0;
      bar.style.transform = `scaleX(${value.toFixed(4)})`;
      score.textContent = percent(value);
      row.classList.toggle('is-top', index === top);
      if (index === top) {
        text('top-name', shown?.uncertain ? 'uncertain' : name);
        text('top-score', percent(value));
      }
    }
  }

  /**
   * What the stage frames: all of what is shown, where faces are found in it, or the centre square. Nothing is shown of
   * the faces before.
   */
  frame(size: { width: number; height: number } | undefined): void {
    this.stage.classList.toggle('finds-faces', size !== undefined);
    this.stage.style.setProperty('--ratio', size ? `${size.width / size.height}` : '1');
    this.faces([], undefined);
  }

  /** A box with its expression on every face, `shown` the one that the bars are about; a click on another one picks it. */
  faces(faces: readonly RecognizedFace[], shown: number | undefined, onPick?: (id: number) => void): void {
    const { width, height } = this.#shownSize();
    const isMirrored = this.stage.dataset.shows === 'camera';
    for (const [id, box] of this.#boxes) {
      if (faces.some((face) => face.id === id)) continue;
      box.remove();
      this.#boxes.delete(id);
    }
    for (const { id, box, state, top } of faces) {
      const place = this.#boxes.get(id) ?? this.#createBox(id);
      const left = isMirrored ? width - box.x - box.width : box.x;
      const part = (length: number, whole: number): string => `${((100 * length) / whole).toFixed(2)}%`;
      Object.assign(place.style, {
        left: part(left, width),
        top: part(box.y, height),
        width: part(box.width, width),
        height: part(box.height, height),
      });
      place.classList.toggle('is-shown', id === shown);
      place.classList.toggle('is-lost', state === 'lost');
      place.onclick = () => onPick?.(id);
      const label = `${top.name} ${percent(top.score)}`;
      if (place.textContent !== label) place.replaceChildren(element('span', '', label));
    }
  }

  /** No face: an answer, and no error. */
  noFace(): void {
    this.clear();
    this.stage.classList.add('without-face');
    text('top-name', 'no face');
  }

  #createBox(id: number): HTMLElement {
    const box = element('button', 'face');
    box.setAttribute('aria-label', `Face ${id + 1}`);
    this.#boxes.set(id, box);
    this.#faces.append(box);
    return box;
  }

  #shownSize(): { width: number; height: number } {
    const { video, picture } = this;
    const isCamera = this.stage.dataset.shows === 'camera';
    const [width, height] = isCamera
      ? [video.videoWidth, video.videoHeight]
      : [picture.naturalWidth, picture.naturalHeight];
    return { width: width || 1, height: height || 1 };
  }

  descriptors({ expressions }: Prediction): void {
    const best = expressions
      .flatMap(({ name, descriptors }) => descriptors.map((descriptor) => ({ ...descriptor, name })))
      .map((descriptor) => ({ ...descriptor, order: descriptor.strength ?? descriptor.similarity }))
      .sort((a, b) => b.order - a.order)
      .slice(0, DESCRIPTORS_SHOWN);
    const items = best.map(({ text, similarity, strength, name }) =>
      element(
        'li',
        '',
        element('span', '', text, ' ', element('span', 'of', `· ${name}`)),
        element('span', 'strength', strength === undefined ? similarity.toFixed(3) : `${Math.round(strength * 100)} %`),
      ),
    );
    byId('descriptors', HTMLElement).replaceChildren(...items);
    byId('explained', HTMLElement).hidden = true;
  }

  /** Milliseconds a picture, and for a stream answers a second. */
  speed(latency: number, rate: number | undefined): void {
    text('latency', `${latency < 10 ? latency.toFixed(1) : latency.toFixed()} ms`);
    text('rate', rate === undefined ? '–' : rate.toFixed(rate < 10 ? 1 : 0));
  }

  /** For screen readers; the caller keeps it rare. */
  announce(sentence: string): void {
    text('announcement', sentence);
  }
}

function createRow(name: string): { row: HTMLElement; bar: HTMLElement; score: HTMLElement; name: string } {
  const bar = element('span', 'bar');
  const track = element('span', 'track', bar);
  const score = element('span', 'score');
  const row = element('li', '', element('span', 'name', name), track, score);
  row.dataset.expression = name;
  return { row, bar, score, name };
}

function percent(score: number): string {
  return `${Math.round(score * 100)} %`;
}

function element(tag: string, className: string, ...children: (Node | string)[]): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function text(id: string, value: string): void {
  const place = byId(id, HTMLElement);
  // Writing what is there already would make screen readers repeat it.
  if (place.textContent !== value) place.textContent = value;
}

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`index.html has no ${type.name} with the id '${id}'`);
}
