// The messages between page and worker: one request, one answer, in order.

import type { PlainError } from './errors.js';
import type { AskedEvidence } from './evidence.js';
import type {
  Box,
  Counters,
  ExpressionScore,
  FaceOptions,
  FaceRecognition,
  ImageEncoderInfo,
  Precision,
  Prediction,
  RecognizedFace,
  RecognizerInfo,
  RecognizerOptions,
  TaughtExpression,
} from './types.js';

/** One wasm file of the engine, by its folder. */
export type EngineFile = 'webgpu' | 'cpu' | 'cpu-relaxed' | 'cpu-threads';

/** A picture's bitmap, or a video's frame as it is: of the size that is shown, unscaled. Whoever has it closes it. */
export type Shown = ImageBitmap | VideoFrame;

/**
 * A picture and the part of it to look at; or that part's pixels, which another worker has read before its device was lost.
 */
export interface Snapshot<Bitmap = Shown | ImageData> {
  bitmap: Bitmap;
  crop: Box;
}

/** What the engine's session says about itself; `card` is a file of the bundle; `wholePicture`: it crops by itself. */
export type SessionInfo = Omit<RecognizerInfo, 'fallback' | 'card' | 'deviceLosses' | 'expressions'> &
  Pick<ImageEncoderInfo, 'channels' | 'embedding' | 'mean' | 'std'> & {
    card: string | null;
    wholePicture: boolean;
    expressions: DescribedExpression[];
  };

/** A WebGPU adapter, as the worker sees it. */
export interface Adapter {
  /** The adapter's own names, for people. */
  name: string;
  /** It computes on the CPU: right, but slower than the engine's CPU file. */
  isSoftware: boolean;
}

/** The faces of one frame, without timings. */
export type FramePrediction = Omit<FaceRecognition, 'timings'>;

/** A prediction as it crosses to the page, which has the texts: they are the most of it, and hardly ever change. */
export interface CompactPrediction extends Omit<Prediction, 'expressions'> {
  /** `[expressions]` scores, then `[descriptors]` similarities, then `[descriptors]` strengths if any has one (else NaN). */
  values: Float32Array;
  /** In full, where the descriptors carry evidence. */
  expressions?: ExpressionScore[];
}

/** The faces of one frame as they cross to the page. */
export interface CompactFrame extends Omit<FramePrediction, 'faces'> {
  faces: (Omit<RecognizedFace, keyof Prediction> & CompactPrediction)[];
}

/** A prediction, and milliseconds for reading the pixels and for the engine. */
export interface Answer<P = CompactPrediction> {
  prediction: P;
  decode: number;
  engine: number;
}

/** How a still picture is looked at. */
interface Look {
  /** Together with its mirror image. */
  mirror: boolean;
  /** With the evidence of every similarity, found in this way. */
  evidence: AskedEvidence | undefined;
}

/** A sentence in the joint space of a bundle's faces, with how their similarities with it are spread. */
export interface EmbeddedSentence {
  text: string;
  embedding: number[];
  mean: number;
  deviation: number;
  /** Its words may not be English. */
  foreign: boolean;
}

/** An expression and what describes it: what frames taught, sentences, or texts of the bundle's own. */
export interface AskedExpression {
  name: string;
  descriptors: ({ taught: TaughtExpression } | { sentence: EmbeddedSentence } | { known: string })[];
}

/** An expression and the texts that describe it. */
export interface DescribedExpression {
  name: string;
  descriptors: string[];
}

/** What answers are made with, beside the bundle's own. */
export interface Wording {
  sentences?: EmbeddedSentence[];
  expressions?: AskedExpression[] | undefined;
  balance?: number;
}

/** Everything that the page asks of the worker: [request, answer]. */
export interface Calls {
  /** The WebGPU adapter, if there is one. */
  probe: [request: null, answer: Adapter | null];
  /** Starts the engine and gives it the manifest; for more than one thread it answers what its helpers need. */
  load: [
    request: {
      file: EngineFile;
      threads: number;
      wasm: WebAssembly.Module;
      manifest: string;
      labels?: string;
      precision?: Precision;
    },
    answer: { memory: WebAssembly.Memory; pool: number } | null,
  ];
  /** Makes this worker a helper of another one's engine, for good. */
  help: [request: { wasm: WebAssembly.Module; memory: WebAssembly.Memory; pool: number }, answer: null];
  /** Gives the engine one file of the bundle; `sha256`: of these very bytes, in hexadecimal, where the browser has computed it. */
  add: [request: { path: string; bytes: Uint8Array<ArrayBuffer>; sha256: string | undefined }, answer: null];
  /** Starts the device and the session; `nextFace`: the number of the first face that it follows. */
  open: [request: RecognizerOptions & Wording & { movements?: boolean; nextFace?: number }, answer: SessionInfo];
  /** One picture; the worker takes the bitmap. */
  recognize: [request: Snapshot & Look, answer: Answer];
  /** One frame of a stream, which its first frame opens; the worker takes the bitmap. */
  push: [request: Snapshot & { stream: number; timestamp: number }, answer: Answer];
  /** The next frame of the clip `clip`, which has `length` frames when full; answered by itself. */
  pushClip: [request: Snapshot & { clip: number; length: number }, answer: Answer];
  /** The whole clip, which ends with it. */
  recognizeClip: [request: { clip: number }, answer: CompactPrediction];
  /** The next frame of a clip whose faces are answered for; each by itself. */
  pushFaceClip: [
    request: Snapshot & { clip: number; length: number; faces: FaceOptions },
    answer: Answer<CompactFrame>,
  ];
  /** The faces of the whole clip, which ends with it. */
  recognizeFaceClip: [request: { clip: number }, answer: CompactFrame];
  /** Forgets a clip that was not finished. */
  dropClip: [request: { clip: number }, answer: null];
  /** A batch of normalised pixels -> its embeddings. */
  encode: [request: { pixels: Float32Array }, answer: Float32Array];
  /** Gives the engine the face detector: the text of its model.json and the file that it names. */
  addDetector: [request: { manifest: string; bytes: Uint8Array }, answer: null];
  /** The faces of one picture; the worker takes the bitmap. */
  recognizeFaces: [request: Snapshot & Look & { faces: FaceOptions }, answer: Answer<CompactFrame>];
  /** The faces of one frame of a stream; the worker takes the bitmap. */
  pushFaces: [
    request: Snapshot & { stream: number; faces: FaceOptions; timestamp: number },
    answer: Answer<CompactFrame>,
  ];
  /** Forgets a stream that has ended. */
  endStream: [request: { stream: number }, answer: null];
  configure: [request: RecognizerOptions, answer: null];
  /** Sentences that answers compare faces with. */
  setSentences: [request: { sentences: EmbeddedSentence[] }, answer: null];
  /** Expressions that answers name; without them the bundle's own. */
  setExpressions: [request: { expressions?: AskedExpression[] | undefined }, answer: DescribedExpression[]];
  /** Looks at everybody's neutral face, from now on. */
  startCalibration: [request: null, answer: null];
  /** Takes a share of what is each person's own out of later answers; answers of how many. */
  endCalibration: [request: { share: number | undefined }, answer: number];
  /** Gives a calibration up. */
  dropCalibration: [request: null, answer: null];
  /** A frame of the lesson `lesson`, which its first frame opens; the worker takes the bitmap. */
  addExample: [
    request: Snapshot & { lesson: number; neutral: boolean; findFace: boolean },
    answer: Answer<{ found: boolean }>,
  ];
  /** A few steps of a lesson. */
  learn: [
    request: { lesson: number; name: string; steps: number },
    answer: { done: number; total: number; loss: number },
  ];
  /** What a lesson has taught; it ends with it. */
  finishLesson: [request: { lesson: number; name: string }, answer: TaughtExpression];
  /** Forgets a lesson that was not finished. */
  dropLesson: [request: { lesson: number }, answer: null];
  /** Makes this worker the home of a bundle's text side, for good. */
  loadText: [
    request: { wasm: WebAssembly.Module; description: Uint8Array; weights: Uint8Array; width: number },
    answer: null,
  ];
  /** Sentences -> the joint space. */
  embed: [request: { texts: string[] }, answer: EmbeddedSentence[]];
  reset: [request: null, answer: null];
  counters: [request: null, answer: Counters];
}

export type Kind = keyof Calls;
export type Request<K extends Kind> = Calls[K][0];
export type AnswerTo<K extends Kind> = Calls[K][1];

/** Every message carries its side's version: files of two versions may meet, from caches or another host. */
interface Message {
  id: number;
  version: string;
}

/** Page -> worker. `cancel` drops a call that has not begun. */
export type ToWorker = Message & ({ [K in Kind]: { kind: K; request: Request<K> } }[Kind] | { kind: 'cancel' });

/** Worker -> page. `frame`: the pixels that a device went down with, for the next one. */
export type ToPage = Message & ({ answer: AnswerTo<Kind> } | { error: PlainError; frame?: ImageData | undefined });
