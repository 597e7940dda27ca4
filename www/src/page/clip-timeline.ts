// A clip's frames -> its answer with a time-line: of the clip as a whole, or of each of its faces.

import type { Answer, CompactFrame, CompactPrediction, FramePrediction, Shown, Snapshot } from '../shared/protocol.js';
import type {
  ClipFace,
  ClipFaceMoment,
  ClipFaceRecognition,
  ClipMoment,
  ClipRecognition,
  FaceOptions,
  Prediction,
  RecognizedFace,
} from '../shared/types.js';
import type { EngineClient } from './engine-client.js';
import { type Read, readAnswer } from './predictions.js';

/** What the reader of the clip adds. */
type Without<R> = Omit<R, 'from' | 'to' | 'timings'>;

/** A clip that is being read. */
export interface ClipReader<P extends object, R> {
  /** Sends the next frame. */
  push(snapshot: Snapshot<Shown>, signal: AbortSignal): Promise<Answer<P>>;
  /** Takes that frame's answer, with its time in seconds. */
  add(time: number, prediction: Read<P>): void;
  /** The answer; the clip ends with it. */
  finish(signal: AbortSignal): Promise<Without<R>>;
}

/** The clip as a whole. */
export class WholeClip implements ClipReader<CompactPrediction, ClipRecognition> {
  readonly #timeline: ClipMoment[] = [];

  constructor(
    private readonly engine: EngineClient,
    private readonly clip: { clip: number; length: number },
  ) {}

  push(snapshot: Snapshot<Shown>, signal: AbortSignal): Promise<Answer> {
    const transfer = [snapshot.bitmap];
    return this.engine.call('pushClip', { ...snapshot, ...this.clip }, { transfer, signal });
  }

  add(time: number, prediction: Prediction): void {
    this.#timeline.push(moment(time, prediction));
  }

  async finish(signal: AbortSignal): Promise<Without<ClipRecognition>> {
    const prediction = await this.engine.call('recognizeClip', { clip: this.clip.clip }, { signal });
    return { ...readAnswer(prediction, this.engine.session.expressions), timeline: this.#timeline };
  }
}

/** Each of the clip's faces. */
export class FaceClip implements ClipReader<CompactFrame, ClipFaceRecognition> {
  readonly #timelines = new Map<number, { last: RecognizedFace; timeline: ClipFaceMoment[] }>();

  constructor(
    private readonly engine: EngineClient,
    private readonly clip: { clip: number; length: number },
    private readonly faces: FaceOptions,
  ) {}

  push(snapshot: Snapshot<Shown>, signal: AbortSignal): Promise<Answer<CompactFrame>> {
    const request = { ...snapshot, ...this.clip, faces: this.faces };
    return this.engine.call('pushFaceClip', request, { transfer: [snapshot.bitmap], signal });
  }

  add(time: number, { faces }: FramePrediction): void {
    for (const face of faces) {
      const timeline = this.#timelines.get(face.id)?.timeline ?? [];
      timeline.push({ ...moment(time, face), box: face.box });
      this.#timelines.set(face.id, { last: face, timeline });
    }
  }

  async finish(signal: AbortSignal): Promise<Without<ClipFaceRecognition>> {
    const answer = await this.engine.call('recognizeFaceClip', { clip: this.clip.clip }, { signal });
    const frame = readAnswer(answer, this.engine.session.expressions);
    const faces = frame.faces.flatMap((face): ClipFace[] => {
      const seen = this.#timelines.get(face.id);
      if (!seen) return [];
      const { box, keyPoints, score } = seen.last;
      return [{ ...face, box, keyPoints, score, timeline: seen.timeline }];
    });
    return { ...frame, faces };
  }
}

function moment(time: number, { top, expressions }: Prediction): ClipMoment {
  return { time, top, scores: expressions.map(({ score }) => score) };
}
