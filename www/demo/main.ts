// The page: one source at a time (camera or picture), one recognizer, every error a sentence in place.

import {
  CliperError,
  ExpressionRecognizer,
  openCamera,
  smooth,
  type Camera,
  type CreateOptions,
  type Recognition,
} from '../src/index.js';
import { showCard } from './card.js';
import { View } from './view.js';

/** Seconds in which bars move 63 % of the way to the newest scores. */
const SMOOTHING = 0.2;
/** Milliseconds between two announcements to screen readers. */
const QUIET = 4000;

const view = new View();
let recognizer: Promise<ExpressionRecognizer> | undefined;
/** Ends whatever is shown now, when something else is chosen. */
let current = new AbortController();

/** The one recognizer; after a failure the next call tries again. */
function ready(): Promise<ExpressionRecognizer> {
  recognizer ??= create().catch((error: unknown) => {
    recognizer = undefined;
    view.stopLoading();
    throw error;
  });
  return recognizer;
}

/** `?device=cpu` and `?model=address` are for trying devices and bundles. */
async function create(): Promise<ExpressionRecognizer> {
  const asked = new URLSearchParams(location.search);
  const options: CreateOptions = { onProgress: (progress) => view.progress(progress) };
  const device = asked.get('device');
  const model = asked.get('model');
  if (device) options.device = device as NonNullable<CreateOptions['device']>;
  if (model) options.model = model;
  const created = await ExpressionRecognizer.create(options);
  view.info(created.info);
  return created;
}

/** Starts showing something else: what was shown before ends, and so does its error. */
async function begin(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  view.problem(undefined);
  view.clear();
  try {
    await run(signal);
  } catch (error) {
    if (signal.aborted) return;
    await complain(error);
  }
}

async function complain(error: unknown): Promise<void> {
  view.problem(error instanceof Error ? error.message : String(error));
  if (!(error instanceof CliperError)) throw error;
  if (error.code === 'engine-panicked' || error.code === 'worker-failed') {
    const broken = await recognizer?.catch(() => undefined);
    broken?.dispose();
    recognizer = undefined;
  }
}

async function showCamera(signal: AbortSignal): Promise<void> {
  const camera: Camera = await openCamera({ video: view.video, signal });
  signal.addEventListener('abort', camera.stop);
  view.show('camera');
  try {
    const engine = await ready();
    await engine.reset();
    const stream = engine.stream(view.video);
    signal.addEventListener('abort', () => stream.stop());
    const bars = new Bars(signal);
    for await (const recognition of stream) {
      if (signal.aborted) break;
      bars.aim(recognition);
      view.descriptors(recognition);
      view.speed(recognition.timings.total, stream.stats.fps);
    }
  } finally {
    camera.stop();
    if (!signal.aborted) view.show('nothing');
  }
}

/** Moves the bars towards the newest scores at the display's rate, until the signal aborts. */
class Bars {
  #target: number[] = [];
  #shown: number[] | undefined;
  #last = performance.now();
  #announced = '';
  #announcedAt = -Infinity;

  constructor(private readonly signal: AbortSignal) {
    requestAnimationFrame(this.#step);
  }

  aim({ expressions, top }: Recognition): void {
    this.#target = expressions.map(({ score }) => score);
    const now = performance.now();
    if (top.name === this.#announced || now - this.#announcedAt < QUIET) return;
    this.#announced = top.name;
    this.#announcedAt = now;
    view.announce(`Apparent expression: ${top.name}`);
  }

  readonly #step = (now: number): void => {
    if (this.signal.aborted) return;
    requestAnimationFrame(this.#step);
    if (this.#target.length === 0) return;
    this.#shown = smooth(this.#shown, this.#target, (now - this.#last) / 1000, SMOOTHING);
    this.#last = now;
    view.scores(this.#shown);
  };
}

/** `address` shows the picture, `picture` is given to the recognizer. */
async function showPicture(address: string, picture: Blob | URL, signal: AbortSignal): Promise<void> {
  view.picture.src = address;
  view.show('picture');
  try {
    const engine = await ready();
    const recognition = await engine.recognize(picture, { signal });
    view.scores(recognition.expressions.map(({ score }) => score));
    view.descriptors(recognition);
    view.speed(recognition.timings.total, undefined);
    view.announce(`Apparent expression: ${recognition.top.name}, ${Math.round(recognition.top.score * 100)} percent`);
  } catch (error) {
    // A file that is no picture leaves a broken image behind.
    if (!signal.aborted && view.picture.naturalWidth === 0) view.show('nothing');
    throw error;
  }
}

function showFile(file: Blob | null | undefined): void {
  if (!file) return;
  void begin(async (signal) => {
    const address = URL.createObjectURL(file);
    signal.addEventListener('abort', () => URL.revokeObjectURL(address));
    await showPicture(address, file, signal);
  });
}

view.cameraButton.addEventListener('click', () => {
  if (view.stage.dataset['shows'] === 'camera') {
    current.abort();
    view.show('nothing');
    view.clear();
  } else {
    void begin(showCamera);
  }
});

view.sampleButton.addEventListener('click', () => {
  const address = new URL('portrait.jpg', document.baseURI);
  void begin((signal) => showPicture(address.href, address, signal));
});

view.fileInput.addEventListener('change', () => {
  showFile(view.fileInput.files?.[0]);
  // So that the same file can be chosen again.
  view.fileInput.value = '';
});

document.addEventListener('paste', ({ clipboardData }) => {
  showFile([...(clipboardData?.files ?? [])].find(({ type }) => type.startsWith('image/')));
});

// The whole page takes drops: a picture that misses the square must not replace the page.
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  view.stage.classList.add('over');
});
document.addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) view.stage.classList.remove('over');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  view.stage.classList.remove('over');
  showFile(event.dataTransfer?.files[0]);
});

showCard(view.card, view.cardDialog);

// The model loads at once, so that the first answer comes at once; the camera waits to be asked for.
ready().catch(complain);
