// <cliper-picture src="...">: a picture with the apparent expression of each face in it.

import { CliperElement, part, reflect } from './base.js';

/**
 * Shows a picture, and what its faces look like. Events: `ready`, `answer` (a `FaceRecognition`, or a `Recognition` with
 * `whole`), `failure`. Parts: `stage`, `picture`, `face`, `label`, `problem`, `notice`. Slots: `notice`; what stands between
 * its tags is shown where it can't work.
 */
export class CliperPicture extends CliperElement {
  static readonly observedAttributes = [...CliperElement.observed, 'src', 'alt', 'mirror'];
  /** Address of the picture. */
  declare src: string;
  declare alt: string;
  /** Look at the mirror image too, and take the mean. */
  declare mirror: boolean;

  readonly #image: HTMLImageElement;
  #given: Blob | undefined;
  #isPlanned = false;

  constructor() {
    const image = part('img', 'picture');
    super(image);
    this.#image = image;
  }

  protected override get size(): { width: number; height: number } {
    return { width: this.#image.naturalWidth, height: this.#image.naturalHeight };
  }

  /** A picture from the page itself, such as a chosen file; it goes before `src`. */
  get picture(): Blob | undefined {
    return this.#given;
  }

  set picture(picture: Blob | undefined) {
    this.#given = picture;
    this.changed();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.changed();
  }

  /** Several changes at once are one look. */
  protected override changed(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      if (this.isConnected) this.#look();
    });
  }

  #look(): void {
    const { src, mirror, whole } = this;
    const given = this.#given;
    this.#image.alt = this.alt;
    if (!given && !src) {
      this.#image.removeAttribute('src');
      this.halt();
      return;
    }
    void this.run(async (recognizer, signal) => {
      const address = given ? URL.createObjectURL(given) : src;
      if (given) signal.addEventListener('abort', () => URL.revokeObjectURL(address));
      this.#image.src = address;
      const ready = await recognizer;
      if (signal.aborted) return;
      this.begin();
      const options = { mirror, signal };
      const answer = await (whole
        ? ready.recognize(given ?? src, { ...options, faces: false })
        : ready.recognize(given ?? src, { ...options, faces: true }));
      await this.#image.decode().catch(() => {});
      if (!signal.aborted) this.show(answer);
    });
  }
}

reflect(CliperPicture, { texts: ['device', 'model', 'assets', 'src', 'alt'], switches: ['whole', 'mirror'] });
