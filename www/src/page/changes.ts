// A stream's answers -> the changes of what is named, after hysteresis: for programs, which every frame would flood.

import type { ExpressionScore, FaceRecognition, Prediction, Recognition } from '../shared/types.js';
import { type Displayed, type DisplayOptions, display } from './smoothing.js';

/** Options of `changes`. */
export interface ChangeOptions extends DisplayOptions {
  /** Milliseconds that another expression has to be named before it counts. Default: 400. */
  hold?: number;
}

/** What is named now, where something else was named before. */
export interface ExpressionChange {
  /** The expression that was named before; absent at first, and after none was. */
  from?: string;
  /** The expression that is named now; absent where it is uncertain, or its face is gone. */
  to?: string;
  /** Its score, as it is shown; 0 where none is named. */
  score: number;
  /** When, in milliseconds of `performance.now()`. */
  at: number;
  /** The same as one plain sentence, with the descriptors that match best. */
  sentence: string;
  /** The face's `id`, where faces are answered for. */
  face?: number;
}

/**
 * The changes of what a stream's answers name, each told once: scores are smoothed, the name stays until another one
 * clearly leads, and for a while. Every face has changes of its own, the last one when it is gone. Leaving the iteration
 * ends the stream.
 *
 * @example
 * const { uncertainBelow } = recognizer.info;
 * for await (const { to, sentence } of changes(recognizer.stream(video), { uncertainBelow })) {
 *   avatar.show(to ?? 'neutral');
 *   assistant.tell(sentence); // 'The face now looks like happiness: a broad open smile that shows the upper teeth.'
 * }
 */
export async function* changes(
  stream: AsyncIterable<Recognition | FaceRecognition>,
  options: ChangeOptions = {},
): AsyncGenerator<ExpressionChange, void> {
  const filter = new ChangeFilter(options);
  for await (const answer of stream) yield* filter.take(answer, performance.now());
}

/** What is named of one face, or of a picture as a whole. */
interface Track {
  shown: Displayed | undefined;
  told: string | undefined;
  /** What waits to be told, and since when. */
  waiting: { name: string | undefined; since: number } | undefined;
}

/** Which answers change what is named: pure, its clock is its caller's. */
export class ChangeFilter {
  readonly #options: ChangeOptions;
  /** By the face's id; `undefined` is the picture as a whole. */
  readonly #tracks = new Map<number | undefined, Track>();

  constructor(options: ChangeOptions = {}) {
    this.#options = options;
  }

  /** The changes that an answer brings, at `now` milliseconds. */
  take(answer: Recognition | FaceRecognition, now: number): ExpressionChange[] {
    if (!('faces' in answer)) return this.#follow(undefined, answer, now);
    const told = answer.faces
      .filter(({ state }) => state !== 'lost')
      .flatMap((face) => this.#follow(face.id, face, now));
    const gone = [...this.#tracks.keys()].filter((id) => !answer.faces.some((face) => face.id === id));
    return [...told, ...gone.flatMap((id) => this.#forget(id, now))];
  }

  #follow(id: number | undefined, prediction: Prediction, now: number): ExpressionChange[] {
    const track = this.#tracks.get(id) ?? { shown: undefined, told: undefined, waiting: undefined };
    this.#tracks.set(id, track);
    track.shown = display(track.shown, prediction, now, this.#options);
    const name = track.shown.uncertain ? undefined : track.shown.top.name;
    if (name === track.told) track.waiting = undefined;
    else if (!track.waiting || track.waiting.name !== name) track.waiting = { name, since: now };
    const { hold = 400 } = this.#options;
    if (!track.waiting || now - track.waiting.since < hold) return [];
    const from = track.told;
    track.told = name;
    track.waiting = undefined;
    const expression = prediction.expressions.find((one) => one.name === name);
    return [change(from, name, expression ? track.shown.top.score : 0, now, sentenceOf(expression), id)];
  }

  #forget(id: number | undefined, now: number): ExpressionChange[] {
    const told = this.#tracks.get(id)?.told;
    this.#tracks.delete(id);
    return told === undefined ? [] : [change(told, undefined, 0, now, 'The face is out of sight.', id)];
  }
}

function change(
  from: string | undefined,
  to: string | undefined,
  score: number,
  at: number,
  sentence: string,
  face: number | undefined,
): ExpressionChange {
  return {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...{ score, at, sentence },
    ...(face === undefined ? {} : { face }),
  };
}

/** What the face looks like now, with the one or two descriptors that stand out. */
function sentenceOf(expression: ExpressionScore | undefined): string {
  if (!expression) return 'What the face looks like now is uncertain.';
  const { name, descriptors } = expression;
  const strong = descriptors
    .filter(({ strength = 1 }) => strength >= 0.5)
    .sort((a, b) => (b.strength ?? b.similarity) - (a.strength ?? a.similarity))
    .slice(0, 2)
    .map(({ text }) => text.replace(/\.$/, ''));
  const why = strong.length === 0 ? '' : `: ${strong.join('; ')}`;
  return `The face now looks like ${name}${why}.`;
}
