// A film as what is looked at: read once from end to end, then shown at any place of its time-line.

import type { ClipFace, ClipMoment, ExpressionScore, RecognizerInfo, Timings } from '../src/index.js';
import { chooseFace } from './choose-face.js';
import { byId, setText } from './dom.js';
import { type Moment, nearest } from './moments.js';
import { drawn, facts, loading, recognizer, result, settings, stage, threshold, timeline } from './page.js';
import { strings } from './strings.js';

/** Frames that a film is looked at in: some each second, at least and at most so many. */
const A_SECOND = 4;
const LEAST = 16;
const MOST = 240;

const play = byId('play', HTMLButtonElement);
const place = byId('place', HTMLInputElement);
const scrubber = byId('scrubber', HTMLElement);

/** What is known of a film, as a whole or of one of its faces. */
interface Seen {
  timeline: readonly ClipMoment[];
  expressions: ExpressionScore[];
}

/** Shows the film until the signal aborts. */
export async function showFilm(film: Blob, signal: AbortSignal): Promise<void> {
  const { video } = stage;
  const address = URL.createObjectURL(film);
  signal.addEventListener('abort', () => {
    video.removeAttribute('src');
    video.load();
    URL.revokeObjectURL(address);
    scrubber.hidden = true;
  });
  video.src = address;
  stage.show('film');
  try {
    const engine = await recognizer.get();
    const frames = Math.min(Math.max(Math.round((await durationOf(video)) * A_SECOND), LEAST), MOST);
    signal.addEventListener('abort', () => loading.stop());
    const onProgress = ({ done, total }: { done: number; total: number }): void => loading.film(done, total);
    const options = { frames, signal, onProgress };
    loading.film(0, frames);
    if (settings.get('faces')) {
      const { faces, timings } = await engine.recognizeClip(film, options);
      loading.stop();
      facts.latency(perFrame(timings, frames));
      stage.frame(stage.size);
      showFaces(faces, engine.info, signal);
    } else {
      const { timings, ...seen } = await engine.recognizeClip(film, { ...options, faces: false });
      loading.stop();
      facts.latency(perFrame(timings, frames));
      stage.frame(undefined);
      follow(seen, engine.info, () => {}, signal);
    }
  } catch (error) {
    if (!signal.aborted) stage.show('nothing');
    throw error;
  }
}

/** A film's faces in their boxes, and the result of the one that is picked. */
function showFaces(faces: readonly ClipFace[], info: RecognizerInfo, signal: AbortSignal): void {
  const [first] = faces;
  if (!first) {
    result.noFace();
    stage.noFace();
    result.announce(strings.noFaceFound);
    return;
  }
  let picking = new AbortController();
  const pick = (shown: ClipFace): void => {
    picking.abort();
    picking = new AbortController();
    follow(
      shown,
      info,
      (time) => drawFaces(faces, shown.id, time, (face) => pick(face)),
      AbortSignal.any([signal, picking.signal]),
    );
  };
  pick(chooseFace(faces, first.id, undefined) ?? first);
}

/** The boxes of the faces that are seen about a time. */
function drawFaces(faces: readonly ClipFace[], shown: number, time: number, onPick: (face: ClipFace) => void): void {
  const seen = faces.flatMap((face) => {
    const moment = nearest(face.timeline, time);
    if (!moment || Math.abs(moment.time - time) > 1 / A_SECOND) return [];
    return [{ id: face.id, state: face.state, box: moment.box, top: moment.top }];
  });
  stage.faces(seen, shown, (id) => {
    const face = faces.find((face) => face.id === id);
    if (face) onPick(face);
  });
}

/** Shows what is known of the place that the film is at, as it plays and as it is sought. */
function follow(seen: Seen, info: RecognizerInfo, draw: (time: number) => void, signal: AbortSignal): void {
  const { video } = stage;
  const end = { signal };
  const moments = seen.timeline.map(({ time, top, scores }): Moment => ({ time, expression: top.name, scores }));
  let shown = -1;
  const show = (): void => {
    shown = video.currentTime;
    place.value = `${shown}`;
    setText('time', `${shown.toFixed(1)} / ${video.duration.toFixed(1)} s`);
    timeline.at(shown);
    draw(shown);
    const moment = nearest(seen.timeline, shown);
    if (moment) result.scores(moment.scores, { top: moment.top, uncertain: moment.top.score < threshold() });
  };
  const step = (): void => {
    if (signal.aborted) return;
    requestAnimationFrame(step);
    if (video.currentTime !== shown) show();
  };
  timeline.film(drawn(info), moments, video.duration, (time) => (video.currentTime = time));
  result.explain(seen);
  scrubber.hidden = false;
  place.max = `${video.duration}`;
  place.addEventListener('input', () => (video.currentTime = place.valueAsNumber), end);
  play.addEventListener('click', () => void (video.paused ? video.play() : video.pause()), end);
  const name = (): void => setText('play', video.paused ? strings.play : strings.pauseFilm);
  for (const event of ['play', 'pause']) video.addEventListener(event, name, end);
  settings.onChange('threshold', show, signal);
  name();
  step();
}

/** Seconds of a film; 0 where it does not tell, or does not play, which is then said by reading it. */
function durationOf(video: HTMLVideoElement): Promise<number> {
  return new Promise((resolve) => {
    const answer = (): void => resolve(Number.isFinite(video.duration) ? video.duration : 0);
    if (video.readyState >= video.HAVE_METADATA || video.error) return answer();
    for (const event of ['loadedmetadata', 'error']) video.addEventListener(event, answer, { once: true });
  });
}

/** What one frame took. */
function perFrame({ decode, engine, total }: Timings, frames: number): Timings {
  return { decode: decode / frames, engine: engine / frames, total: total / frames };
}
