// A picture as what is looked at, with where its descriptions' matches come from.

import type { Evidence, Prediction, RecognizedFace } from '../src/index.js';
import { chooseFace } from './choose-face.js';
import { centreSquare, type Square, squareOf } from './face-square.js';
import { facts, recognizer, result, settings, stage, threshold } from './page.js';
import { fill, nameOf, strings } from './strings.js';

/** Shows the picture until the signal aborts. */
export async function showPicture(picture: Blob, signal: AbortSignal): Promise<void> {
  const address = URL.createObjectURL(picture);
  signal.addEventListener('abort', () => URL.revokeObjectURL(address));
  stage.picture.src = address;
  stage.show('picture');
  try {
    const engine = await recognizer.get();
    // A picture that stands still has time for its mirror image too, and evidence costs no pass more.
    const options = { signal, mirror: true, evidence: true };
    if (settings.get('faces')) {
      const { faces, timings } = await engine.recognize(picture, options);
      stage.frame(stage.size);
      showFaces(faces, chooseFace(faces, undefined, undefined), signal);
      facts.latency(timings);
    } else {
      const recognition = await engine.recognize(picture, { ...options, faces: false });
      stage.frame(undefined);
      showPrediction(recognition, centreSquare(stage.size), signal);
      facts.latency(recognition.timings);
    }
  } catch (error) {
    // A file that is no picture leaves a broken image behind.
    if (!signal.aborted && stage.picture.naturalWidth === 0) stage.show('nothing');
    throw error;
  }
}

/** A picture's faces, and the result of the one that is picked. */
function showFaces(faces: readonly RecognizedFace[], shown: RecognizedFace | undefined, signal: AbortSignal): void {
  if (shown) {
    showPrediction(shown, squareOf(shown), signal);
    stage.faces(faces, shown.id, (id) =>
      showFaces(
        faces,
        faces.find((face) => face.id === id),
        signal,
      ),
    );
    return;
  }
  result.noFace();
  stage.noFace();
  result.announce(strings.noFaceFound);
}

function showPrediction(prediction: Prediction, square: Square, signal: AbortSignal): void {
  const { top, expressions } = prediction;
  const show = (): void => {
    const scores = expressions.map(({ score }) => score);
    result.scores(scores, { top, uncertain: top.score < threshold() });
  };
  show();
  settings.onChange('threshold', show, signal);
  result.explain(prediction, (evidence: Evidence | undefined) => stage.evidence(evidence && { evidence, square }));
  const name = top.score < threshold() ? strings.uncertain : nameOf(top.name);
  result.announce(fill(strings.announcedScore, { name, score: Math.round(top.score * 100) }));
}
