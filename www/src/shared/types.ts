// The public types: results, options and reports. Plain data, the contract with the engine.

/** How like one descriptor text the clip is. */
export interface DescriptorSimilarity {
  /** The descriptor's text, as the bundle carries it. */
  text: string;
  /** Cosine of the clip's embedding and the descriptor's, -1..1. */
  similarity: number;
  /**
   * Where that similarity stands among faces that training did not see, 0..1: 0.8 is above that of four faces in five. The
   * number for people; absent where the bundle does not say.
   */
  strength?: number;
  /** Where on the picture the similarity comes from; only where `recognize` was asked for it. */
  evidence?: Evidence;
}

/**
 * Where on a picture a similarity comes from: a grid over the square that the encoder saw, which is the picture's centre
 * square, that of `box`, or of a face the upright square around it. It says what the encoder's comparison rests on,
 * not where a face moves.
 */
export interface Evidence {
  /** Cells of a row, and rows: 6 with the built-in model. */
  side: number;
  /**
   * `sum`: a value is the cell's part of the similarity, and all add up to it (to 1e-5); what a cell stands for has seen
   * its surroundings too. `occlusion`: a value is what the similarity loses where the cell is covered in grey; they add up
   * to nothing in particular.
   */
  method: 'sum' | 'occlusion';
  /** `side * side` values, row after row from the upper left, in units of the similarity; below 0 speaks against. */
  values: number[];
}

/** How far one part of a face seems to have moved. */
export interface MovementScore {
  /** ARKit's name of a face shape, without a side where both are meant: `jawOpen`, `browDown`, `mouthSmile`, ... */
  name: string;
  /** The face shape's value that faces like this have on average by MediaPipe's landmarker, 0..1. */
  score: number;
}

/** One expression's score, with the descriptors that explain it. */
export interface ExpressionScore {
  /** The expression's name. */
  name: string;
  /** Probability, 0..1; all expressions' scores add up to 1. */
  score: number;
  /** Every descriptor of the expression, the most similar first. */
  descriptors: DescriptorSimilarity[];
}

/** An apparent expression (what a face shows, not what anyone feels), with everything that explains it. */
export interface Prediction {
  /** The most probable expression. */
  top: { name: string; score: number };
  /** Every expression, in the bundle's order. */
  expressions: ExpressionScore[];
  /** Frames in the window behind this prediction, and frames that it holds when full. */
  window: { filled: number; length: number };
  /** The top score is below the bundle's threshold: `top` is more likely wrong than right. Never, if it has none. */
  uncertain: boolean;
  /** Apparent movements, where `create` was asked for them: what the face's parts seem to do, and no action units. */
  movements?: MovementScore[];
  /** The sentences that `describe` brought, in their order; absent without any. */
  texts?: DescriptorSimilarity[];
}

/** Milliseconds by stage. */
export interface Timings {
  /** From the picture to its pixels; 0 of a large photo, whose parts the engine reads when it looks at them. */
  decode: number;
  /** From the pixels to the scores. */
  engine: number;
  /** From the call to the answer, waiting included. */
  total: number;
}

/** What the recognizer answers: the prediction, and how long it took. */
export interface Recognition extends Prediction {
  timings: Timings;
}

/** A place in a picture, in its own pixels from the left upper corner; it may lie outside. */
export interface Point {
  x: number;
  y: number;
}

/** Where the parts of a face lie. Right and left are the person's own: a frontal face has its right eye on the picture's left. */
export interface KeyPoints {
  rightEye: Point;
  leftEye: Point;
  nose: Point;
  mouth: Point;
  /** Where the ear meets the cheek. */
  rightEar: Point;
  leftEar: Point;
}

/** One face, where it is, and what it seems to express. */
export interface RecognizedFace extends Prediction {
  /** The same number as long as the face is followed through a stream; never given twice. In a picture: 0, 1, ... */
  id: number;
  /**
   * `recognized`: its window covers its seconds. `warming-up`: it covers part of them so far, and the prediction is from
   * those. `lost`: the face is not seen now; place and prediction are its last ones, for a grace period.
   */
  state: 'recognized' | 'warming-up' | 'lost';
  /** From the brows to the chin, about square; it may reach over the picture's edge. */
  box: Box;
  keyPoints: KeyPoints;
  /** How sure the detector is that this is a face, 0..1. */
  score: number;
}

/** What the recognizer answers where faces are asked for. */
export interface FaceRecognition {
  /**
   * `recognized`: at least one face is. `warming-up`, in a stream: there are faces, but none whose window covers its
   * seconds yet. `no-face`: there is none, which is an answer and no error.
   */
  state: 'recognized' | 'warming-up' | 'no-face';
  /** In a stream the longest followed first, in a picture the surest first. */
  faces: RecognizedFace[];
  /** Faces that were found and wait for their first look, because there are too many for one frame. */
  waiting: number;
  timings: Timings;
}

/** How faces are found, followed and looked at. */
export interface FaceOptions {
  /** Most faces, at least 1. Default: 8 in a stream, 32 in a picture. */
  maxFaces?: number;
  /** Least score of the detector that counts as a face, 0..1. Default: 0.5. */
  minScore?: number;
  /**
   * 1 (default) looks at the picture once and finds faces from about a sixth of its longer side; 2, 3 and 4 look at its
   * parts too, for groups and large photos, in up to 10, 35 and 84 times the time.
   */
  zoom?: number;
  /** In a stream the detector runs on every such frame, and on each one while a face is lost. Default: 3. */
  detectInterval?: number;
  /** Milliseconds that a lost face keeps its id. Default: 500. */
  lostTimeout?: number;
  /** Looks at each face a second. Default: the stream's `rate`. The window covers `window / rate` seconds. */
  rate?: number;
  /** Most faces looked at in one frame; the others come in the next frames, the longest waiting first. Default: 4. */
  maxPerFrame?: number;
  /**
   * A face in which no part changed by this many grey levels (of 255) since it was last encoded is not encoded again.
   * Default: 10. 0 encodes at every look.
   */
  minChange?: number;
}

/** Options with which faces are found first: every face is answered for by itself. */
export type WithFaces<Options> = Options & { faces: true | FaceOptions };

/** Options with which the picture is looked at as a whole, where the recognizer was created with `faces`. */
export type WithoutFaces<Options> = Options & { faces: false };

/** Where the engine runs. */
export type Device = 'webgpu' | 'cpu';

/** What runs, and on what. */
export interface RecognizerInfo {
  /** The device that the engine runs on. */
  device: Device;
  /** The adapter's name, for people. */
  adapter: string;
  /** Why another device than the first choice runs, as a sentence; absent if the first choice runs. */
  fallback?: string;
  /** How often the device was lost so far. Each time it was opened again, or the CPU took its place. */
  deviceLosses: number;
  /** The model's name. */
  model: string;
  /** The expressions' names, in the order of `Prediction.expressions`. */
  expressions: string[];
  /** Side of the square that the encoder sees, in pixels. */
  side: number;
  /** Number of the model's parameters. */
  parameters: number;
  /** Frames that the stream's window holds when full. */
  window: number;
  /** The golden self-test at start: cosine of this device's embedding and the stored one, 1 at best. */
  selfTest: { cosine: number };
  /** Address of the model card, if the bundle has one. */
  card?: string;
  /** The model's licence. */
  licence: string;
  /** The top score under which a prediction is `uncertain`, if the bundle has one. */
  uncertainBelow?: number;
}

/** How matrices are kept. `f32` computes as trained; `int8` holds a byte a value, with less memory and a little error. */
export type Precision = 'f32' | 'int8';

/** What an `ImageEncoder` runs, and on what. */
export interface ImageEncoderInfo
  extends Pick<
    RecognizerInfo,
    'device' | 'adapter' | 'fallback' | 'deviceLosses' | 'model' | 'side' | 'parameters' | 'selfTest' | 'licence'
  > {
  /** Channels of its pixels: 3 (RGB) or 1 (grey). */
  channels: number;
  /** Values of an embedding. */
  embedding: number;
  /** Subtracted from each channel after scaling to 0..1 ... */
  mean: number[];
  /** ... and what divides it after that. */
  std: number[];
  /** How matrices are kept. */
  precision: Precision;
}

/** A device that was lost, and what goes on in its place. Windows and clips of it are gone: streams begin theirs anew. */
export interface DeviceLoss {
  /** Why, as a sentence. */
  reason: string;
  /** The device that the engine runs on now. */
  device: Device;
  /** Its adapter's name, for people. */
  adapter: string;
}

/** Work done so far: one pass a frame or face, one upload, one read-back. */
export interface Counters {
  /** Passes of the encoder, one a picture. */
  passes: number;
  /** Kernels launched on WebGPU; 0 on the CPU. */
  dispatches: number;
  /** Bytes given to the device. */
  uploadedBytes: number;
  /** Bytes read back from the device. */
  readBytes: number;
  /** Runs of the face detector over a stream's frames. */
  detections: number;
  /** Passes saved because a face had hardly changed. */
  skippedPasses: number;
  /** Faces that had to wait for the next frame because there were too many. */
  deferredFaces: number;
  /** Frames of a time that was answered already. */
  repeatedFrames: number;
  /** Bytes of the engine's wasm memory now; it never shrinks, so this is its peak too. */
  memoryBytes: number;
}

/**
 * What `create` is doing, in this order: fetching the bundle and the engine, starting the engine, checking the
 * bundle's files, giving them to the engine, and starting the device with the golden self-test.
 */
export type Stage = 'download' | 'compile' | 'verify' | 'upload' | 'warmup' | 'ready';

/**
 * Progress of `create` as a whole: `loaded` never falls, and ends at `total` with the stage `ready`.
 * Both count work in equal parts of the whole, not bytes.
 */
export interface Progress {
  stage: Stage;
  loaded: number;
  total: number;
}

/**
 * Part of a picture, in its own pixels, from the left upper corner: those of its file, turned as it is shown, whatever size
 * an element shows it in; a video's are those of `videoWidth` and `videoHeight`.
 */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Whatever holds one picture; a `string` or `URL` is the address of an image file. */
export type Picture = ImageBitmapSource | string | URL;

/** A bundle's files: chosen by a visitor, or their bytes by name (`model.json` and those that it lists). */
export type BundleFiles = Iterable<File> | ArrayLike<File> | Readonly<Record<string, Blob | BufferSource>>;

/** What every engine is created with. */
export interface EngineOptions {
  /** Address of the bundle's `model.json`, or the bundle's files. Default: the built-in model. */
  model?: string | URL | BundleFiles;
  /**
   * `auto` (default) takes WebGPU where there is a hardware adapter, else the CPU, and says why in `info.fallback`.
   * `webgpu` and `cpu` insist: `webgpu` takes a software adapter too.
   */
  device?: 'auto' | Device;
  /** Keep the bundle's files in Cache Storage, by address and sha256, for the next visit. Default: true. */
  cache?: boolean;
  /**
   * Fetches everything that is downloaded; for headers, a proxy or tests. A file that is not what the manifest lists is asked
   * for once more, with `cache: 'reload'`. Default: the global `fetch`.
   */
  fetch?: (url: URL, options: { signal: AbortSignal; cache?: 'reload' }) => Promise<Response>;
  /**
   * Threads that compute on the CPU. More than one need a cross-origin isolated page, and pay for large encoders; where
   * they can't be had, one computes and `info.fallback` says why. Default: 1.
   */
  threads?: number;
  /**
   * Folder that holds a copy of this package's `dist`, for pages whose bundler does not bring its files along, or that take
   * them from another host: worker, engine, model and detector come from there, unless other options name them.
   */
  assets?: string | URL;
  /**
   * Folder that holds the engine's files, `webgpu/cliper_bg.wasm` and the same in `cpu`, `cpu-relaxed` and
   * `cpu-threads`. Default: beside this module.
   */
  wasmUrl?: string | URL;
  /**
   * Starts the module worker of this package; for pages whose bundler or host needs its own way.
   * Called again if a device fails and the next one is tried.
   */
  createWorker?: () => Worker;
  /** Called with the progress, from the first byte to `ready`. */
  onProgress?: (progress: Progress) => void;
  /** Called when a lost device was opened again, or the CPU took its place: `info` says the same. */
  onDeviceLost?: (loss: DeviceLoss) => void;
  /** Aborts the start. */
  signal?: AbortSignal;
}

/** Options of `ExpressionRecognizer.create`. */
export interface CreateOptions extends EngineOptions {
  /** Frames that the stream's window holds. Default: the bundle's. */
  window?: number;
  /**
   * Answer in a data set's own labels, where the bundle has learned some: `'FER2013'` with the built-in model. Default: the
   * bundle's expressions.
   */
  labels?: string;
  /** As `RecognizerOptions.balance`. */
  balance?: number;
  /** Expressions that were taught (`teach`), to be answered beside the model's own from the start. */
  taught?: readonly TaughtExpression[];
  /**
   * Answer with apparent movements too (`Prediction.movements`): at no cost, from the same pass. `unsupported-bundle` where the
   * bundle has none. Default: false.
   */
  movements?: boolean;
  /**
   * How the model computes. Default: as its bundle is stored, the built-in one in 8 bits: as accurate on its validation faces,
   * and the fastest. `f32` is the same on every device to 1e-5.
   */
  precision?: Precision;
  /** Address of the face detector's `model.json`, fetched when faces are first asked for. Default: this package's. */
  detector?: string | URL;
}

/** Options of `ImageEncoder.create`. */
export interface ImageEncoderOptions extends EngineOptions {
  /** Default: `f32`. */
  precision?: Precision;
}

/** Options that can change while the recognizer runs. */
export interface RecognizerOptions {
  /** Frames that the stream's window holds, at least 1. */
  window?: number;
  /**
   * How much of each expression's share among the training faces scores leave out, 0..1: rare expressions are found more often
   * with more of it, and frequent ones less. Default: 0, which is right most often.
   */
  balance?: number;
}

/** How words are brought to a recognizer. */
export interface TextOptions {
  /** Called with the part (0..1) of the text side that is here: 8.7 MB of the built-in model, fetched once and kept. */
  onProgress?: (fraction: number) => void;
  signal?: AbortSignal;
}

/** Options of `calibrate`. */
export interface CalibrateOptions {
  /** Seconds that the neutral faces are looked at. Default: 3. */
  seconds?: number;
  /** Share of what a person's neutral face differs in that later answers leave out, 0..1. Default: 0.3, fitted on photographs. */
  share?: number;
  /** Aborts it; what was known before stays. */
  signal?: AbortSignal;
}

/** Frames that teach an expression: of one face, some that show it and some at rest. */
export interface Examples {
  /** 5 to 20 frames that show it, at least 3. */
  shown: Iterable<Picture>;
  /** As many of the same face at rest: what else is particular to this face is told apart by them. */
  neutral: Iterable<Picture>;
}

/** Options of `teach`. */
export interface TeachOptions {
  /** Find the face in each frame, and look at the surest one. Default: whether the recognizer was created with `faces`. */
  faces?: boolean;
  /** Called after each frame and each part of the learning. */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** Aborts the lesson. */
  signal?: AbortSignal;
}

/**
 * An expression that was learned from frames: plain data, to be saved as JSON, and given to `create` or `setDescriptors` of
 * the same model. It holds no picture, but what it was learned from is a face: keep it as you would keep one.
 */
export interface TaughtExpression {
  format: 'cliper-expression';
  version: 1;
  name: string;
  /** The joint space that it was learned in, a bundle's. */
  backbone: string;
  /** Frames that showed it, and at rest. */
  frames: number;
  neutral: number;
  /** Share of the frames that it wins, 0..1: below 0.8 it is too like what the model knows. */
  recognized: number;
  /** Largest share of drawn faces of one of the model's expressions that it takes, 0..1. */
  taken: number;
  descriptors: {
    /** What stands for it in answers. */
    text: string;
    /** Unit vector. */
    embedding: number[];
    /** Scores take `slope * similarity + offset`. */
    slope: number;
    offset: number;
    /** Of the similarities that faces have with it. */
    mean: number;
    deviation: number;
  }[];
}

/** What describes an expression: texts, and what frames have taught. */
export type ExpressionDescription = TaughtExpression | readonly (string | TaughtExpression)[];

/** What became of sentences. */
export interface Understood {
  /** Those of which most words are unknown: they may not be English, which is the only language that is read. */
  foreign: string[];
}

/** What every way of looking at one picture takes. */
export interface LookOptions {
  /** Part of the picture to look at. Default: its centre square; the whole picture where faces are asked for. */
  box?: Box;
  /** Aborts the call. */
  signal?: AbortSignal;
}

/** Options of `recognize`. */
export interface RecognizeOptions extends LookOptions {
  /**
   * Look at the mirror image too and take the mean, in twice the encoder's time: most models are right more often so (the
   * model card says how often). Default: false.
   */
  mirror?: boolean;
  /**
   * Say where on the picture each descriptor's similarity comes from (`DescriptorSimilarity.evidence`): a grid for each.
   * With `true` an encoder that takes its patches' mean, as the built-in one does, gives the exact sum in no more passes;
   * one with a class token is asked by occlusion, which takes 37 passes for one. `'occlusion'` does so with any encoder.
   * With `mirror` the mirror image's grid is turned back and averaged. Streams and clips take no evidence. Default: false.
   */
  evidence?: boolean | 'occlusion';
}

/** Options of `push`. */
export interface PushOptions extends LookOptions {
  /**
   * Time of the frame in milliseconds. Going back, or a gap as long as the window, starts over; a time that was answered
   * already is answered the same. Default: `performance.now()`.
   */
  timestamp?: number;
}

/** A film or a list of pictures in order; a `string` or `URL` is the address of a video file. */
export type Clip = HTMLVideoElement | Blob | string | URL | readonly Picture[];

/** Options of `recognizeClip`. */
export interface ClipOptions {
  /** Leave out what lies before, in seconds. Default: 0. */
  from?: number;
  /** Leave out what lies at or after, in seconds. Default: the end. */
  to?: number;
  /** Frames to look at, evenly spread over the part. Default: as many as the bundle's window holds. */
  frames?: number;
  /** Of a list of pictures: frames a second. Default: 25. */
  rate?: number;
  /** Part of each frame to look at. Default: its centre square; the whole frame where faces are asked for. */
  box?: Box;
  /** Called after each frame; `done` rises to `total`. */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** Aborts the call. */
  signal?: AbortSignal;
}

/** One frame of a clip's time-line, seen by itself. */
export interface ClipMoment {
  /** Seconds from the clip's beginning. */
  time: number;
  /** The frame's most probable expression. */
  top: { name: string; score: number };
  /** Every expression's score, in the bundle's order. */
  scores: number[];
}

/** What `recognizeClip` answers: from all frames together, and frame by frame. */
export interface ClipRecognition extends Recognition {
  /** The part that was looked at, seconds. */
  from: number;
  to: number;
  /** Its frames in order: as many as were asked for, or all if it has fewer. */
  timeline: ClipMoment[];
}

/** One frame of a face's time-line. */
export interface ClipFaceMoment extends ClipMoment {
  /** Where the face is in this frame. */
  box: Box;
}

/**
 * One face of a clip, answered for from all frames that show it (`window.filled` of them); its place is that in the last
 * one. Every frame is looked at for faces: `rate`, `detectInterval`, `maxPerFrame` and `minChange` say nothing here, and
 * for `lostTimeout` the frames count as 125 ms apart.
 */
export interface ClipFace extends RecognizedFace {
  timeline: ClipFaceMoment[];
}

/** What `recognizeClip` answers where faces are asked for: `recognized`, or `no-face` in none of its frames. */
export interface ClipFaceRecognition extends FaceRecognition {
  /** The part that was looked at, seconds. */
  from: number;
  to: number;
  /** Those seen in the most frames first. */
  faces: ClipFace[];
}

/** Options of `stream`. */
export interface StreamOptions {
  /** Looks a second. Default: 8. More show no more of an expression, but cost as much more. */
  rate?: number;
  /** Part of the video to look at, as for `recognize`. */
  box?: Box;
}

/** What `stream` returns: iterate it for the answers. */
export interface RecognitionStream<Answer = Recognition> extends AsyncIterableIterator<Answer> {
  /** Ends the iteration; the video is left alone. */
  stop(): void;
  readonly stats: StreamStats;
}

/** How a stream keeps up. */
export interface StreamStats {
  /** Frames that the video showed. */
  seen: number;
  /** Frames that were answered. */
  answered: number;
  /** Frames that were skipped because the last one was still on its way, or its answer not yet taken, or lost with its device. */
  dropped: number;
  /** Frames that were left out to keep to the rate, or to leave a slow device time for the page. */
  skipped: number;
  /** Answers a second, over the last two seconds. */
  fps: number;
}
