// The two wasm files' modules, made by `cargo pkg build`: same API, one per device.

declare module '*/cliper.js' {
  type Options = import('./types.js').FaceOptions;
  type Frame = import('./protocol.js').FramePrediction;

  export default function init(options: { module_or_path: WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;

  /** Bytes -> model. */
  export class BundleLoader {
    /** `manifest` is the text of model.json. */
    constructor(manifest: string);
    readonly files: { path: string; bytes: number }[];
    /** Takes one file's bytes and verifies them. */
    add(path: string, bytes: Uint8Array): void;
    /** Starts the device, uploads and runs the golden self-test. Consumes the loader. */
    open(): Promise<Session>;
    free(): void;
  }

  export class Session {
    readonly info: import('./protocol.js').SessionInfo;
    readonly counters: Omit<import('./types.js').Counters, 'memoryBytes'>;
    /** One picture; leaves the window alone. */
    recognize(rgba: Uint8Array, width: number, height: number): Promise<import('./types.js').Prediction>;
    /** One frame of a stream, `timestamp` in milliseconds. */
    push(rgba: Uint8Array, width: number, height: number, timestamp: number): Promise<import('./types.js').Prediction>;
    /** Takes the face detector: the text of its model.json and the file that it names. */
    addDetector(manifest: string, bytes: Uint8Array): void;
    /** One picture's faces. */
    recognizeFaces(rgba: Uint8Array, width: number, height: number, options: Options): Promise<Frame>;
    /** Whether a stream's frame has to be seen to be answered. */
    needsPicture(timestamp: number): boolean;
    /** Faces of a stream's frame; no pixels where they need not be seen. */
    pushFaces(rgba: Uint8Array | undefined, width: number, height: number, timestamp: number, options: Options): Promise<Frame>;
    setWindow(length: number): void;
    reset(): void;
    free(): void;
  }
}
