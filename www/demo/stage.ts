// The square that pictures, films and the camera are shown in, with what is drawn over them.

import type { Box, Evidence, RecognizedFace } from '../src/index.js';
import { byId, element, percent } from './dom.js';
import type { Square } from './face-square.js';
import { fill, nameOf, strings } from './strings.js';

export type Shows = 'nothing' | 'camera' | 'picture' | 'film';

/** A face as it is drawn. */
export interface FaceInPlace {
  id: number;
  box: Box;
  state: RecognizedFace['state'];
  top: RecognizedFace['top'];
}

interface Size {
  width: number;
  height: number;
}

export class Stage {
  readonly video = byId('video', HTMLVideoElement);
  readonly picture = byId('picture', HTMLImageElement);
  readonly #stage = byId('stage', HTMLElement);
  readonly #faces = byId('faces', HTMLElement);
  readonly #evidence = byId('evidence', HTMLCanvasElement);
  readonly #boxes = new Map<number, HTMLElement>();
  /** Told whenever something else is shown. */
  readonly onShow: (() => void)[] = [];

  get shows(): Shows {
    return this.#stage.dataset.shows as Shows;
  }

  show(shows: Shows): void {
    this.#stage.dataset.shows = shows;
    this.video.setAttribute('aria-label', shows === 'film' ? strings.theFilm : strings.yourCamera);
    if (shows === 'nothing') this.frame(undefined);
    for (const run of this.onShow) run();
  }

  /** Whether there may be a face: nobody has said that there is none. */
  get seesFace(): boolean {
    return !this.#stage.classList.contains('without-face');
  }

  mirror(isMirrored: boolean): void {
    this.#stage.classList.toggle('is-mirrored', isMirrored);
  }

  /**
   * What the stage frames: all of what is shown, where faces are found in it, or the centre square. Nothing is drawn of
   * the faces before.
   */
  frame(size: Size | undefined): void {
    this.#stage.classList.toggle('finds-faces', size !== undefined);
    this.#stage.style.setProperty('--ratio', size ? `${size.width / size.height}` : '1');
    this.clear();
  }

  /** A box with its expression on every face, `shown` the one that the bars are about; a click on another one picks it. */
  faces(faces: readonly FaceInPlace[], shown: number | undefined, onPick?: (id: number) => void): void {
    this.#stage.classList.remove('without-face');
    const { width } = this.size;
    const isMirrored = this.shows === 'camera' && this.#stage.classList.contains('is-mirrored');
    for (const [id, box] of this.#boxes) {
      if (faces.some((face) => face.id === id)) continue;
      box.remove();
      this.#boxes.delete(id);
    }
    for (const { id, box, state, top } of faces) {
      const place = this.#boxes.get(id) ?? this.#createBox(id);
      this.#place(place, { ...box, x: isMirrored ? width - box.x - box.width : box.x });
      place.classList.toggle('is-shown', id === shown);
      place.classList.toggle('is-lost', state === 'lost');
      place.onclick = () => onPick?.(id);
      const label = `${nameOf(top.name)} ${percent(top.score)}`;
      if (place.textContent === label) continue;
      place.replaceChildren(element('span', '', label));
      place.setAttribute('aria-label', `${fill(strings.faceNumber, { number: id + 1 })}: ${label}`);
    }
  }

  /** No face in the picture: a hint says what to do. */
  noFace(): void {
    this.clear();
    this.#stage.classList.add('without-face');
  }

  /** Where in `square` a similarity comes from, or nothing: green where a place gives more than the mean one, orange less. */
  evidence(shown: { evidence: Evidence; square: Square } | undefined): void {
    this.#evidence.hidden = !shown;
    if (!shown) return;
    const { evidence, square } = shown;
    const { side, values } = evidence;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const most = Math.max(...values.map((value) => Math.abs(value - mean)), Number.MIN_VALUE);
    this.#evidence.width = this.#evidence.height = side;
    const image = new ImageData(side, side);
    for (const [index, value] of values.entries()) {
      const colour = value > mean ? [45, 212, 160] : [251, 146, 60];
      image.data.set([...colour, (Math.abs(value - mean) / most) * 190], index * 4);
    }
    this.#evidence.getContext('2d')?.putImageData(image, 0, 0);
    const { center, side: length, roll } = square;
    this.#place(this.#evidence, {
      x: center.x - length / 2,
      y: center.y - length / 2,
      width: length,
      height: length,
    });
    this.#evidence.style.rotate = `${roll}rad`;
  }

  /** Nothing is drawn over the picture. */
  clear(): void {
    this.faces([], undefined);
    this.evidence(undefined);
  }

  dropping(isOver: boolean): void {
    this.#stage.classList.toggle('over', isOver);
  }

  /** Of what is shown, in its own pixels. */
  get size(): Size {
    const { video, picture } = this;
    const [width, height] =
      this.shows === 'picture' ? [picture.naturalWidth, picture.naturalHeight] : [video.videoWidth, video.videoHeight];
    return { width: width || 1, height: height || 1 };
  }

  #createBox(id: number): HTMLElement {
    const box = element('button', 'face');
    this.#boxes.set(id, box);
    this.#faces.append(box);
    return box;
  }

  /** Without looking for faces the stage shows the centre square alone. */
  #place(what: HTMLElement, box: Box): void {
    const { width, height } = this.size;
    const isSquare = !this.#stage.classList.contains('finds-faces');
    const side = Math.min(width, height);
    const view = isSquare
      ? { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side }
      : { x: 0, y: 0, width, height };
    const part = (length: number, whole: number): string => `${((100 * length) / whole).toFixed(2)}%`;
    Object.assign(what.style, {
      left: part(box.x - view.x, view.width),
      top: part(box.y - view.y, view.height),
      width: part(box.width, view.width),
      height: part(box.height, view.height),
    });
  }
}
