// The camera as what is looked at: opened when asked, one of several, its faces or its centre square.

import { openCamera, type RecognitionStream } from '../src/index.js';
import { offerCalibration } from './calibration.js';
import { chooseFace } from './choose-face.js';
import type { Recognizer } from './current-recognizer.js';
import { byId } from './dom.js';
import { MovingBars } from './moving-bars.js';
import { drawn, facts, recognizer, result, settings, stage, timeline } from './page.js';
import { fill, strings } from './strings.js';

const cameras = byId('cameras', HTMLSelectElement);
const choice = byId('camera-choice', HTMLElement);

/** Shows the camera until the signal aborts. */
export async function showCamera(signal: AbortSignal): Promise<void> {
  const id = cameras.value;
  const camera = await openCamera({ video: stage.video, signal, ...(id ? { deviceId: id } : {}) });
  signal.addEventListener('abort', camera.stop);
  stage.show('camera');
  await listCameras();
  try {
    const engine = await recognizer.get();
    // Once, and again whenever a setting that the stream is made with changes.
    while (!signal.aborted && stage.video.srcObject) {
      await engine.reset();
      await (settings.get('faces') ? lookAtFaces(engine, signal) : lookAtWhole(engine, signal));
    }
  } finally {
    camera.stop();
    if (!signal.aborted) stage.show('nothing');
  }
}

/** The cameras by name, which browsers tell once one was allowed; one alone is no choice. */
async function listCameras(): Promise<void> {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'videoinput');
  const open = (stage.video.srcObject as MediaStream | null)?.getVideoTracks()[0]?.getSettings().deviceId ?? '';
  cameras.replaceChildren(
    ...found.map(
      ({ label, deviceId }, index) => new Option(label || fill(strings.cameraNumber, { number: index + 1 }), deviceId),
    ),
  );
  cameras.value = open;
  choice.hidden = found.length < 2;
}

/** The centre square of each frame, as one face. */
async function lookAtWhole(engine: Recognizer, signal: AbortSignal): Promise<void> {
  stage.frame(undefined);
  const stream = engine.stream(stage.video, { faces: false, rate: settings.get('rate') });
  const { ended, bars, tell } = begin(engine, stream, signal);
  for await (const recognition of stream) {
    if (ended.aborted) break;
    bars.aim(recognition);
    result.explain(recognition);
    tell(recognition);
    facts.latency(recognition.timings);
  }
}

/** Every face of each frame in its box; the bars are about one of them. */
async function lookAtFaces(engine: Recognizer, signal: AbortSignal): Promise<void> {
  stage.frame({ width: stage.video.videoWidth, height: stage.video.videoHeight });
  const stream = engine.stream(stage.video, { rate: settings.get('rate') });
  const { ended, bars, tell, forget } = begin(engine, stream, signal);
  let shown: number | undefined;
  let picked: number | undefined;
  for await (const { state, faces, timings } of stream) {
    if (ended.aborted) break;
    const face = chooseFace(faces, shown, picked);
    shown = face?.id;
    if (face) {
      bars.aim(face);
      result.explain(face);
      tell(face);
    } else if (state === 'no-face') {
      bars.stop();
      forget();
      result.noFace();
    }
    if (face || state !== 'no-face') stage.faces(faces, shown, (id) => (picked = id));
    else stage.noFace();
    facts.latency(timings);
  }
}

interface Running {
  /** Aborts when the stream has to end: by the signal, or for a setting. */
  ended: AbortSignal;
  bars: MovingBars;
  /** Puts an answer on the time-line, and says how fast they come. */
  tell(answer: { top: { name: string }; expressions: readonly { name: string; score: number }[] }): void;
  /** Nobody is seen, whose neutral face might be known. */
  forget(): void;
}

function begin(engine: Recognizer, stream: RecognitionStream<unknown>, signal: AbortSignal): Running {
  const ending = new AbortController();
  const { signal: ended } = ending;
  const end = (): void => {
    stream.stop();
    ending.abort();
  };
  signal.addEventListener('abort', end, { signal: ended });
  settings.onChange('faces', end, ended);
  settings.onChange('rate', end, ended);
  timeline.stream(drawn(engine.info));
  let names = engine.info.expressions.join('\n');
  const start = performance.now();
  const frames = new FrameRate();
  const tell: Running['tell'] = ({ top, expressions }) => {
    const scores = expressions.map(({ score }) => score);
    // A time-line is of the same expressions from end to end.
    const answered = expressions.map(({ name }) => name).join('\n');
    if (answered !== names) timeline.stream(drawn(engine.info));
    names = answered;
    timeline.add({ time: (performance.now() - start) / 1000, expression: top.name, scores });
    facts.rates(frames.of(stream.stats.seen), stream.stats.fps);
  };
  return { ended, bars: new MovingBars(ended), tell, forget: offerCalibration(engine, ended) };
}

/** Frames a second that a camera shows, over about the last two seconds. */
class FrameRate {
  #counts: { at: number; seen: number }[] = [];

  of(seen: number): number {
    const now = performance.now();
    this.#counts = [...this.#counts.filter(({ at }) => at > now - 2000), { at: now, seen }];
    const [first] = this.#counts;
    return first && now > first.at ? ((seen - first.seen) * 1000) / (now - first.at) : 0;
  }
}
