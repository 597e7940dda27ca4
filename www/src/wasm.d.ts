// The two wasm files' modules, made by `cargo pkg build`: same API, one per device.

declare module '*/cliper.js' {
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
    /** The next frame of a clip of `length` frames, by itself. */
    pushClip(clip: number, length: number, rgba: Uint8Array, width: number, height: number): Promise<import('./types.js').Prediction>;
    /** A whole clip, which ends with it. */
    recognizeClip(clip: number): Promise<import('./types.js').Prediction>;
    dropClip(clip: number): void;
    setWindow(length: number): void;
    reset(): void;
    free(): void;
  }
}
