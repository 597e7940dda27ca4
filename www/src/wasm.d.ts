// The wasm files' modules, made by `cargo pkg build`: the same API, but for what says otherwise.

declare module '*/cliper.js' {
  type Options = import('./shared/types.js').FaceOptions;
  type Asked = import('./shared/evidence.js').AskedEvidence;
  type Frame = import('./shared/protocol.js').CompactFrame;

  export default function init(options: {
    module_or_path: WebAssembly.Module;
    /** A helper's: the engine's memory, and the bytes of its stack; only of the file with threads. */
    memory?: WebAssembly.Memory;
    thread_stack_size?: number;
  }): Promise<unknown>;

  /** The version of the package that it was built for. */
  export function engineVersion(): string;

  /** The engine's memory. */
  export function engineMemory(): WebAssembly.Memory;

  // Only in the file with threads: a helper's life, see src/engine/cpu/thread_pool/wasm.rs.
  export function help(pool: number): number;
  export function awake(pool: number): void;
  export function epochIndex(pool: number): number;

  /** Bytes -> model. */
  export class BundleLoader {
    /**
     * `manifest` is the text of model.json; `labels` the label set to answer in; `precision` `f32` or `int8`, otherwise as the
     * bundle is stored.
     */
    constructor(manifest: string, labels?: string, precision?: string);
    readonly files: { path: string; bytes: number }[];
    /** Takes one file's bytes and verifies them, by the SHA-256 that the browser computed of them or by its own. */
    add(path: string, bytes: Uint8Array, sha256?: string): void;
    /** Threads that compute, this one included; returns the pool's address. Only in the file with threads. */
    setThreads?(threads: number): number;
    /** The adapter that the browser has; only in the WebGPU file. */
    setAdapter?(name: string, isSoftware: boolean): void;
    /** Starts the device, uploads and runs the golden self-test. Consumes the loader. */
    open(): Promise<Session>;
    free(): void;
  }

  /** A bundle's text side; only in its own file. */
  export class TextSide {
    constructor(description: Uint8Array, weights: Uint8Array, width: number);
    embed(texts: string[]): import('./shared/protocol.js').EmbeddedSentence[];
    free(): void;
  }

  export class Session {
    readonly info: import('./shared/protocol.js').SessionInfo;
    readonly counters: Omit<import('./shared/types.js').Counters, 'memoryBytes'>;
    /** Whether answers carry movements from now on. */
    setMovements(wanted: boolean): void;
    /** Sentences that answers compare faces with from now on. */
    setSentences(sentences: import('./shared/protocol.js').EmbeddedSentence[]): void;
    /** Expressions that answers name from now on; the bundle's own without any. */
    setExpressions(
      expressions?: import('./shared/protocol.js').AskedExpression[],
    ): import('./shared/protocol.js').DescribedExpression[];
    /** How much of each expression's share among training faces scores leave out, 0..1. */
    setBalance(balance: number): void;
    /** Looks at everybody's neutral face, until the calibration ends or is given up. */
    startCalibration(): void;
    /** Takes a share of what is each person's own out of later answers; says of how many. */
    endCalibration(share?: number): number;
    dropCalibration(): void;
    /** A frame of the lesson of this number, which its first frame opens; false where no face was found in it. */
    addExample(
      lesson: number,
      rgba: Uint8Array,
      width: number,
      height: number,
      neutral: boolean,
      findFace: boolean,
    ): Promise<boolean>;
    /** A few steps of a lesson. */
    learn(lesson: number, name: string, steps: number): { done: number; total: number; loss: number };
    /** What a lesson has taught; it ends with it. */
    finishLesson(lesson: number, name: string): import('./shared/types.js').TaughtExpression;
    dropLesson(lesson: number): void;
    /** The number of the first face that a stream follows from now on. */
    setNextFace(next: number): void;
    /** One picture, in bytes or read part by part, with its mirror image or alone, with evidence or without; leaves the window alone. */
    recognize(
      pixels: Uint8Array | import('./worker/pixels.js').PixelParts,
      width: number,
      height: number,
      mirror: boolean,
      evidence?: Asked,
    ): Promise<import('./shared/protocol.js').CompactPrediction>;
    /** One frame of the stream of this number, which its first frame opens; `timestamp` in milliseconds. */
    push(
      stream: number,
      rgba: Uint8Array,
      width: number,
      height: number,
      timestamp: number,
    ): Promise<import('./shared/protocol.js').CompactPrediction>;
    /** The next frame of a clip of `length` frames, by itself. */
    pushClip(
      clip: number,
      length: number,
      rgba: Uint8Array,
      width: number,
      height: number,
    ): Promise<import('./shared/protocol.js').CompactPrediction>;
    /** A whole clip, which ends with it. */
    recognizeClip(clip: number): Promise<import('./shared/protocol.js').CompactPrediction>;
    /** The next frame of a clip whose faces are answered for, each by itself. */
    pushFaceClip(
      clip: number,
      length: number,
      rgba: Uint8Array,
      width: number,
      height: number,
      options: Options,
    ): Promise<Frame>;
    /** The faces of a whole clip, which ends with it. */
    recognizeFaceClip(clip: number): Promise<Frame>;
    dropClip(clip: number): void;
    /** Embeddings `[batch, embedding]` of normalised pixels `[batch, channels, side, side]`. */
    encode(pixels: Float32Array): Promise<Float32Array>;
    /** Takes the face detector: the text of its model.json and the file that it names. */
    addDetector(manifest: string, bytes: Uint8Array): void;
    /** One picture's faces; `pixels` as for `recognize`. */
    recognizeFaces(
      pixels: Uint8Array | import('./worker/pixels.js').PixelParts,
      width: number,
      height: number,
      options: Options,
      mirror: boolean,
      evidence?: Asked,
    ): Promise<Frame>;
    /** Whether a stream's frame has to be seen to be answered. */
    needsPicture(stream: number, timestamp: number): boolean;
    /** Faces of a stream's frame; no pixels where they need not be seen. */
    pushFaces(
      stream: number,
      rgba: Uint8Array | undefined,
      width: number,
      height: number,
      timestamp: number,
      options: Options,
    ): Promise<Frame>;
    setWindow(length: number): void;
    /** Forgets a stream that has ended. */
    end(stream: number): void;
    /** Forgets every stream's frames and faces. */
    reset(): void;
    free(): void;
  }
}
