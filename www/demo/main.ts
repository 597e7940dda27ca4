// The page: one source at a time (camera or picture), one recognizer, every error a sentence in place.

import {
  type Camera,
  CliperError,
  type CreateOptions,
  type Displayed,
  display,
  ExpressionRecognizer,
  type FaceRecognition,
  openCamera,
  type Prediction,
  type RecognizedFace,
} from '../src/index.js';
import { showCard } from './card.js';
import { View } from './view.js';

/** Seconds in which bars move 63 % of the way to the newest scores. */
const SMOOTHING = 0.2;
/** Milliseconds between two announcements to screen readers. */
const QUIET = 4000;

/** Another face is shown only if it is larger by this factor: two people side by side must not take turns. */
const LARGER = 1.5;

type Recognizer = ExpressionRecognizer<FaceRecognition>;

const view = new View();
let recognizer: Promise<Recognizer> | undefined;
/** Ends whatever is shown now, when something else is chosen. */
let current = new AbortController();
/** Shows the picture anew, when faces are found in it or no longer. */
let again: (() => void) | undefined;

/** The one recognizer; after a failure the next call tries again. */
function ready(): Promise<Recognizer> {
  recognizer ??= create().catch((error: unknown) => {
    recognizer = undefined;
    view.stopLoading();
    throw error;
  });
  return recognizer;
}

/** `?device=cpu` and `?model=address` are for trying devices and bundles. */
async function create(): Promise<Recognizer> {
  const asked = new URLSearchParams(location.search);
  const options: CreateOptions = { onProgress: (progress) => view.progress(progress) };
  const device = asked.get('device');
  const model = asked.get('model');
  if (device) options.device = device as NonNullable<CreateOptions['device']>;
  if (model) options.model = model;
  const created = await ExpressionRecognizer.create({ ...options, faces: true });
  view.info(created.info);
  return created;
}

/** Starts showing something else: what was shown before ends, and so does its error. */
async function begin(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  again = undefined;
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
    let findsFaces: boolean;
    // Once, and again whenever the switch is turned.
    do {
      findsFaces = view.facesInput.checked;
      await engine.reset();
      await (findsFaces ? streamFaces(engine, signal) : streamWhole(engine, signal));
    } while (!signal.aborted && findsFaces !== view.facesInput.checked);
  } finally {
    camera.stop();
    if (!signal.aborted) view.show('nothing');
  }
}

/** The centre square of each frame, as one face. */
async function streamWhole(engine: Recognizer, signal: AbortSignal): Promise<void> {
  view.frame(undefined);
  const stream = engine.stream(view.video, { faces: false });
  const ended = endWith(stream, signal);
  const bars = new Bars(ended, engine.info.uncertainBelow);
  for await (const recognition of stream) {
    if (ended.aborted) break;
    bars.aim(recognition);
    view.descriptors(recognition);
    view.speed(recognition.timings.total, stream.stats.fps);
  }
}

/** Every face of each frame in its box; the bars are about one of them. */
async function streamFaces(engine: Recognizer, signal: AbortSignal): Promise<void> {
  view.frame({ width: view.video.videoWidth, height: view.video.videoHeight });
  const stream = engine.stream(view.video);
  const ended = endWith(stream, signal);
  const bars = new Bars(ended, engine.info.uncertainBelow);
  let shown: number | undefined;
  let picked: number | undefined;
  for await (const { state, faces, timings } of stream) {
    if (ended.aborted) break;
    const face = chooseFace(faces, shown, picked);
    shown = face?.id;
    if (face) {
      bars.aim(face);
      view.descriptors(face);
    } else if (state === 'no-face') {
      bars.stop();
      view.noFace();
    }
    view.faces(faces, shown, (id) => (picked = id));
    view.speed(timings.total, stream.stats.fps);
  }
}

/** Stops a stream, and aborts what goes with it, when the signal aborts or the switch for faces is turned. */
function endWith(stream: { stop(): void }, signal: AbortSignal): AbortSignal {
  const ended = new AbortController();
  const end = (): void => {
    stream.stop();
    ended.abort();
  };
  signal.addEventListener('abort', end, { signal: ended.signal });
  view.facesInput.addEventListener('change', end, { signal: ended.signal });
  return ended.signal;
}

/** The face that was picked, else the one that was shown, unless another one is much larger. */
function chooseFace(
  faces: readonly RecognizedFace[],
  shown: number | undefined,
  picked: number | undefined,
): RecognizedFace | undefined {
  const area = ({ box }: RecognizedFace): number => box.width * box.height;
  const [largest] = [...faces].sort((a, b) => area(b) - area(a));
  const last = faces.find(({ id }) => id === shown);
  const stays = last && largest && area(largest) < LARGER * area(last);
  return faces.find(({ id }) => id === picked) ?? (stays ? last : largest);
}

/** Moves the bars towards the newest answer at the display's rate, until the signal aborts. */
class Bars {
  #answer: Prediction | undefined;
  #shown: Displayed | undefined;
  #announced = '';
  #announcedAt = -Infinity;

  constructor(
    private readonly signal: AbortSignal,
    private readonly uncertainBelow: number | undefined,
  ) {
    requestAnimationFrame(this.#step);
  }

  /** Nothing to move towards, until there is again. */
  stop(): void {
    this.#answer = undefined;
    this.#shown = undefined;
  }

  aim(answer: Prediction): void {
    this.#answer = answer;
  }

  readonly #step = (now: number): void => {
    if (this.signal.aborted) return;
    requestAnimationFrame(this.#step);
    if (!this.#answer) return;
    this.#shown = display(this.#shown, this.#answer, now, { time: SMOOTHING, uncertainBelow: this.uncertainBelow });
    view.scores(this.#shown.scores, this.#shown);
    this.#announce(this.#shown, now);
  };

  #announce({ top, uncertain }: Displayed, now: number): void {
    const name = uncertain ? 'uncertain' : top.name;
    if (name === this.#announced || now - this.#announcedAt < QUIET) return;
    this.#announced = name;
    this.#announcedAt = now;
    view.announce(`Apparent expression: ${name}`);
  }
}

/** `address` shows the picture, `picture` is given to the recognizer. */
async function showPicture(address: string, picture: Blob | URL, signal: AbortSignal): Promise<void> {
  view.picture.src = address;
  view.show('picture');
  try {
    const engine = await ready();
    // A picture that stands still has time for its mirror image too.
    const options = { signal, mirror: true };
    if (view.facesInput.checked) {
      const { faces, timings } = await engine.recognize(picture, options);
      view.frame({ width: view.picture.naturalWidth, height: view.picture.naturalHeight });
      showFaces(faces, chooseFace(faces, undefined, undefined));
      view.speed(timings.total, undefined);
    } else {
      const recognition = await engine.recognize(picture, { ...options, faces: false });
      view.frame(undefined);
      showPrediction(recognition);
      view.speed(recognition.timings.total, undefined);
    }
  } catch (error) {
    // A file that is no picture leaves a broken image behind.
    if (!signal.aborted && view.picture.naturalWidth === 0) view.show('nothing');
    throw error;
  }
}

/** A picture's faces, and the result of the one that is picked. */
function showFaces(faces: readonly RecognizedFace[], shown: RecognizedFace | undefined): void {
  if (shown) showPrediction(shown);
  else {
    view.noFace();
    view.announce('No face was found');
  }
  view.faces(faces, shown?.id, (id) =>
    showFaces(
      faces,
      faces.find((face) => face.id === id),
    ),
  );
}

function showPrediction(prediction: Prediction): void {
  view.scores(
    prediction.expressions.map(({ score }) => score),
    prediction,
  );
  view.descriptors(prediction);
  const name = prediction.uncertain ? 'uncertain' : prediction.top.name;
  view.announce(`Apparent expression: ${name}, ${Math.round(prediction.top.score * 100)} percent`);
}

function showFile(file: Blob | null | undefined): void {
  if (!file) return;
  void begin(async (signal) => {
    again = () => showFile(file);
    const address = URL.createObjectURL(file);
    signal.addEventListener('abort', () => URL.revokeObjectURL(address));
    await showPicture(address, file, signal);
  });
}

function showSample(): void {
  const address = new URL('portrait.jpg', document.baseURI);
  void begin((signal) => {
    again = showSample;
    return showPicture(address.href, address, signal);
  });
}

view.cameraButton.addEventListener('click', () => {
  if (view.stage.dataset.shows === 'camera') {
    current.abort();
    view.show('nothing');
    view.clear();
  } else {
    void begin(showCamera);
  }
});

view.sampleButton.addEventListener('click', showSample);

// A camera's stream turns by itself.
view.facesInput.addEventListener('change', () => again?.());

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
