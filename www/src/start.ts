// From options to an open engine: probe, download, open on the best device, or on the next one with a reason.

import { abortable } from './abort.js';
import { Connection } from './connection.js';
import { addDetector, fetchDetector, type Detector } from './detector.js';
import { planDevices } from './devices.js';
import { toCliperError, type CliperError } from './errors.js';
import { builtInFiles, builtInModel, createWorker, wasmFile } from './files.js';
import { BundleDownload, fetchWasm, globalFetch, toUrl } from './loader.js';
import { ProgressMeter } from './progress.js';
import type { Adapter, SessionInfo } from './protocol.js';
import { checkBrowser } from './support.js';
import type { CreateOptions, Device, RecognizerInfo } from './types.js';

/** Part of the download that is the face detector's, where faces are asked for: a tenth of the built-in model's bytes. */
const DETECTOR_PART = 0.1;

export interface Started {
  connection: Connection;
  info: RecognizerInfo;
}

/** Starts a worker, and in it the engine with the bundle; `withFaces`: and with the face detector. */
export async function start(options: CreateOptions, withFaces: boolean): Promise<Started> {
  checkBrowser();
  const attempt = new Start(options, withFaces);
  try {
    return await abortable(attempt.run(), attempt.signal);
  } catch (thrown) {
    attempt.fail(toCliperError(thrown));
    throw thrown;
  }
}

class Start {
  readonly #options: CreateOptions;
  // Ends every download as soon as the start has failed.
  readonly #failed = new AbortController();
  readonly signal: AbortSignal;
  readonly #meter: ProgressMeter;
  #connection: Connection;
  #adapter: Adapter | null = null;
  readonly #downloaded = { bundle: 0, detector: 0 };

  constructor(options: CreateOptions, private readonly withFaces: boolean) {
    this.#options = options;
    this.signal = options.signal ? AbortSignal.any([options.signal, this.#failed.signal]) : this.#failed.signal;
    this.#meter = new ProgressMeter(options.onProgress);
    this.#connection = this.#connect();
  }

  async run(): Promise<Started> {
    const { device: asked = 'auto' } = this.#options;
    this.#meter.advance('download', 0);
    const probe = asked === 'cpu' ? null : this.#connection.call('probe', null, { signal: this.signal });
    const [adapter, bundle, detector] = await Promise.all([probe, this.#fetchBundle(), this.#fetchDetector()]);
    this.#adapter = adapter;
    const { devices, fallback: reason } = planDevices(asked, adapter);
    const [first, second] = devices;
    if (second === undefined) return this.#describe(await this.#open(first, bundle, detector, true), bundle, reason);
    try {
      return this.#describe(await this.#open(first, bundle, detector, false), bundle, reason);
    } catch (thrown) {
      const error = toCliperError(thrown);
      if (!isDeviceFault(error)) throw error;
      // What failed may be in any state: the next device gets a worker of its own.
      this.#connection.close(error);
      this.#connection = this.#connect();
      const session = await this.#open(second, bundle, detector, true);
      return this.#describe(session, bundle, `WebGPU was left out: ${reasonOf(error)}`);
    }
  }

  fail(error: CliperError): void {
    this.#failed.abort(error);
    this.#connection.close(error);
  }

  #connect(): Connection {
    return new Connection(this.#options.createWorker ?? createWorker);
  }

  async #fetchBundle(): Promise<BundleDownload> {
    const { model, fetch = globalFetch, cache = true } = this.#options;
    return BundleDownload.start(toUrl(model ?? builtInModel()), {
      fetch,
      cache,
      signal: this.signal,
      onProgress: (fraction) => this.#advanceDownload({ bundle: fraction }),
      ...(model === undefined ? { addresses: builtInFiles() } : {}),
    });
  }

  async #fetchDetector(): Promise<Detector | undefined> {
    if (!this.withFaces) return undefined;
    const { detector, fetch = globalFetch, cache = true } = this.#options;
    const onProgress = (fraction: number): void => this.#advanceDownload({ detector: fraction });
    return fetchDetector(detector, { fetch, cache, signal: this.signal, onProgress });
  }

  #advanceDownload(more: Partial<{ bundle: number; detector: number }>): void {
    const { bundle, detector } = Object.assign(this.#downloaded, more);
    const part = this.withFaces ? DETECTOR_PART : 0;
    this.#meter.advance('download', (1 - part) * bundle + part * detector);
  }

  /** Engine and bundle come at the same time; each file is verified as soon as both are there. */
  async #open(
    device: Device,
    bundle: BundleDownload,
    detector: Detector | undefined,
    isLast: boolean,
  ): Promise<SessionInfo> {
    const { signal } = this;
    const { fetch = globalFetch, wasmUrl, window } = this.#options;
    const connection = this.#connection;
    const loaded = (async () => {
      const url = wasmUrl === undefined ? wasmFile(device) : toUrl(`${String(wasmUrl).replace(/\/$/, '')}/${device}/cliper_bg.wasm`);
      const wasm = await fetchWasm(url, fetch, signal);
      await connection.call('load', { device, wasm, manifest: bundle.manifest }, { signal });
    })();
    const added = (async () => {
      for (const file of bundle.files) {
        const bytes = await bundle.read(file);
        await loaded;
        // The bytes stay here only while another device may still need them.
        await connection.call('add', { path: file.path, bytes }, { transfer: isLast ? [bytes.buffer] : [], signal });
      }
    })();
    await Promise.all([loaded, added]);
    for (const stage of ['compile', 'verify', 'upload'] as const) this.#meter.advance(stage, 1);
    this.#meter.advance('warmup', 0);
    const session = await connection.call('open', { window }, { signal });
    if (detector) await addDetector(connection, detector, signal);
    return session;
  }

  #describe(session: SessionInfo, bundle: BundleDownload, fallback: string | undefined): Started {
    this.#meter.advance('ready', 1);
    const { card, ...rest } = session;
    const info: RecognizerInfo = rest;
    // Browsers do not tell wasm the adapter's name.
    if (info.device === 'webgpu' && info.adapter === '') info.adapter = this.#adapter?.name ?? '';
    if (card !== null) info.card = bundle.addressOf(card).href;
    if (fallback !== undefined) info.fallback = fallback;
    return { connection: this.#connection, info };
  }
}

/** Faults of a device, for which another device may do; anything else fails on every device. */
function isDeviceFault({ code }: CliperError): boolean {
  return code === 'device-unavailable' || code === 'device-wrong' || code === 'engine-panicked';
}

/** A panic's own advice, to create a new recognizer, is followed here already. */
function reasonOf({ code, message }: CliperError): string {
  return code === 'engine-panicked' ? 'it did not start; the console has the reason.' : message;
}
