// <cliper-camera>: the visitor's camera with the apparent expression of each face, off until asked.

import { changes, openCamera, type RecognitionStream } from '../index.js';
import { CliperElement, type ElementAnswer, part, reflect } from './base.js';

/**
 * Shows the camera once its button is pressed or `start` is called, and what faces look like. Events: `ready`, `answer` (each
 * `FaceRecognition`, or `Recognition` with `whole`), `expressionchange` (each `ExpressionChange`, for programs), `failure`. Parts:
 * `stage`, `video`, `face`, `label`, `button`, `problem`, `notice`. Slots: `start`, `stop` (the button's words), `notice`; what
 * stands between its tags is shown where it can't work.
 */
export class CliperCamera extends CliperElement {
  static readonly observedAttributes = [...CliperElement.observed, 'rate', 'facing-mode', 'unmirrored'];
  /** Looks a second; 8 without it. */
  declare rate: string;
  /** `user` looks at the visitor, `environment` away. */
  declare facingMode: string;
  /** Show the camera as others see it. */
  declare unmirrored: boolean;

  readonly #video: HTMLVideoElement;
  readonly #button: HTMLButtonElement;

  constructor() {
    const video = part('video', 'video');
    const button = part('button', 'button');
    super(video, button);
    this.#video = video;
    this.#button = button;
    button.type = 'button';
    button.append(words('start', 'Start camera'));
    button.addEventListener('click', () => void (this.isOn ? this.stop() : this.start()));
  }

  /** Whether the camera is on, or asked for. */
  get isOn(): boolean {
    return this.state === 'loading' || this.state === 'running';
  }

  /** Asks for the camera and looks until `stop`; a failure is an event, and no rejection. */
  async start(): Promise<void> {
    const running = this.run(async (recognizer, signal) => {
      const facingMode = this.facingMode === 'environment' ? 'environment' : 'user';
      const camera = await openCamera({ video: this.#video, facingMode, signal });
      signal.addEventListener('abort', camera.stop);
      const rate = this.rate ? { rate: Number(this.rate) } : {};
      try {
        const ready = await recognizer;
        if (signal.aborted) return;
        this.begin();
        const stream: RecognitionStream<ElementAnswer> = this.whole
          ? ready.stream(this.#video, { ...rate, faces: false })
          : ready.stream(this.#video, { ...rate, faces: true });
        signal.addEventListener('abort', () => stream.stop());
        const { uncertainBelow } = ready.info;
        for await (const detail of changes(this.#watched(stream, signal), { uncertainBelow })) {
          if (signal.aborted) return;
          this.dispatchEvent(new CustomEvent('expressionchange', { detail }));
        }
      } finally {
        camera.stop();
      }
    });
    this.#name();
    await running;
    this.#name();
  }

  /** Turns the camera off. */
  stop(): void {
    this.halt();
    this.#name();
  }

  protected override get size(): { width: number; height: number } {
    return { width: this.#video.videoWidth, height: this.#video.videoHeight };
  }

  protected override get isMirrored(): boolean {
    return !this.unmirrored;
  }

  protected override changed(): void {
    if (this.isOn) void this.start();
  }

  /** The stream, shown as it passes. */
  async *#watched(stream: RecognitionStream<ElementAnswer>, signal: AbortSignal): AsyncGenerator<ElementAnswer, void> {
    for await (const answer of stream) {
      if (signal.aborted) return;
      this.show(answer);
      yield answer;
    }
  }

  #name(): void {
    const next = this.isOn ? words('stop', 'Stop camera') : words('start', 'Start camera');
    if (this.#button.querySelector('slot')?.name !== next.name) this.#button.replaceChildren(next);
  }
}

/** A slot for the button's words. */
function words(name: string, text: string): HTMLSlotElement {
  const slot = document.createElement('slot');
  slot.name = name;
  slot.textContent = text;
  return slot;
}

reflect(CliperCamera, {
  texts: ['device', 'model', 'assets', 'rate', 'facingMode'],
  switches: ['whole', 'unmirrored'],
});
