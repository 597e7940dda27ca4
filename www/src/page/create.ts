// From options to an open engine: probe, download, open on the best device, or on the next one with a reason.

import { ADVICE, type CliperError, isDeviceFault, toCliperError } from '../shared/errors.js';
import type { Request, SessionInfo } from '../shared/protocol.js';
import type { CreateOptions, Device, EngineOptions } from '../shared/types.js';
import { abortable } from './abort.js';
import { type CpuPlan, findAbilities, planCpu } from './cpu.js';
import { addDetector, type Detector, fetchDetector } from './detector.js';
import { type DevicePlan, planDevices } from './devices.js';
import { builtInFiles, builtInModel, createWorker, wasmAddress } from './files.js';
import { BundleDownload, globalFetch, loadWasm, toUrl } from './loader.js';
import { fromFiles } from './local-bundle.js';
import { ProgressMeter } from './progress.js';
import { checkBrowser } from './support.js';
import { Connection } from './worker-client.js';

/** Part of the download that is the face detector's, where faces are asked for: a tenth of the built-in model's bytes. */
const DETECTOR_PART = 0.1;

export interface Started {
  connection: Connection;
  /** Its other files are read when somebody asks for them. */
  bundle: BundleDownload;
  session: Omit<SessionInfo, 'card'>;
  /** Address of the model card. */
  card?: string;
  /** Why another device than the first choice runs. */
  fallback?: string;
}

/** What a start may be told; `detector` only matters with faces. */
export type StartOptions = EngineOptions & Pick<CreateOptions, 'detector' | 'labels' | 'precision'>;

/**
 * Starts a worker, and in it the engine with the bundle, its session opened with `request`; `withFaces`: and with the
 * face detector.
 */
export async function start(options: StartOptions, request: Request<'open'>, withFaces = false): Promise<Started> {
  checkBrowser();
  const attempt = new Start(options, request, withFaces);
  try {
    return await abortable(attempt.run(), attempt.signal);
  } catch (thrown) {
    attempt.fail(toCliperError(thrown));
    throw thrown;
  }
}

class Start {
  readonly #options: StartOptions;
  readonly #request: Request<'open'>;
  // Ends every download as soon as the start has failed.
  readonly #failed = new AbortController();
  readonly signal: AbortSignal;
  readonly #meter: ProgressMeter;
  readonly #cpu: CpuPlan;
  #connection: Connection;
  readonly #downloaded = { bundle: 0, detector: 0 };

  constructor(
    options: StartOptions,
    request: Request<'open'>,
    private readonly withFaces: boolean,
  ) {
    this.#options = options;
    this.#request = request;
    this.signal = options.signal ? AbortSignal.any([options.signal, this.#failed.signal]) : this.#failed.signal;
    this.#meter = new ProgressMeter(options.onProgress);
    this.#cpu = planCpu(options.threads ?? 1, findAbilities());
    this.#connection = this.#connect();
  }

  async run(): Promise<Started> {
    const { device: asked = 'auto' } = this.#options;
    this.#meter.advance('download', 0);
    // Every part is asked for as soon as its address is known; what fails is told where it is waited for.
    const planned = this.#plan(asked);
    const engine = planned.then(({ devices }) => this.#fetchEngine(devices[0]));
    const detector = this.#fetchDetector();
    for (const part of [engine, detector]) part.catch(() => {});
    const [{ devices, fallback: reason }, bundle] = await Promise.all([planned, this.#fetchBundle()]);
    const [first, second] = devices;
    try {
      const session = await this.#open(first, engine, bundle, detector, second === undefined);
      return this.#describe(session, bundle, reason);
    } catch (thrown) {
      const error = toCliperError(thrown);
      if (second === undefined || !isDeviceFault(error)) throw error;
      // What failed may be in any state: the next device gets a worker of its own.
      this.#connection.close(error);
      this.#connection = this.#connect();
      const session = await this.#open(second, this.#fetchEngine(second), bundle, detector, true);
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

  async #plan(asked: NonNullable<CreateOptions['device']>): Promise<DevicePlan> {
    const adapter = asked === 'cpu' ? null : await this.#connection.call('probe', null, { signal: this.signal });
    return planDevices(asked, adapter);
  }

  #fetchEngine(device: Device): Promise<WebAssembly.Module> {
    const { file } = device === 'cpu' ? this.#cpu : { file: device };
    return loadWasm(wasmAddress(file, this.#options.wasmUrl), this.#options, this.signal);
  }

  /** The bundle, its files on their way. */
  async #fetchBundle(): Promise<BundleDownload> {
    const bundle = await this.#startBundle();
    bundle.readAhead(0);
    return bundle;
  }

  #startBundle(): Promise<BundleDownload> {
    const { model, labels, fetch = globalFetch, cache = true } = this.#options;
    const { signal } = this;
    const onProgress = (fraction: number): void => this.#advanceDownload({ bundle: fraction });
    if (model === undefined) {
      return BundleDownload.start(builtInModel(), {
        fetch,
        cache,
        labels,
        signal,
        onProgress,
        addresses: builtInFiles(),
      });
    }
    if (typeof model === 'string' || model instanceof URL) {
      return BundleDownload.start(toUrl(model), { fetch, cache, labels, signal, onProgress });
    }
    const given = fromFiles(model);
    return BundleDownload.start(given.manifest, { fetch: given.fetch, cache: false, labels, signal, onProgress });
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
    engine: Promise<WebAssembly.Module>,
    bundle: BundleDownload,
    coming: Promise<Detector | undefined>,
    isLast: boolean,
  ): Promise<SessionInfo> {
    const { signal } = this;
    const { labels, precision } = this.#options;
    const connection = this.#connection;
    const { file, threads } = device === 'cpu' ? this.#cpu : { file: device, threads: 1 };
    const loaded = (async () => {
      const wasm = await engine;
      const request = {
        file,
        threads,
        wasm,
        manifest: bundle.manifest,
        ...(labels === undefined ? {} : { labels }),
        ...(precision === undefined ? {} : { precision }),
      };
      const shared = await connection.call('load', request, { signal });
      if (shared) await connection.startHelpers(threads - 1, { wasm, ...shared }, signal);
    })();
    const added = (async () => {
      for (const [index, file] of bundle.files.entries()) {
        const { bytes, sha256 } = await bundle.read(file);
        // While this one is put to use.
        bundle.readAhead(index + 1);
        await loaded;
        // The bytes stay here only while another device may still need them and no cache has them.
        const transfer = isLast || !bundle.keeps(file) ? [bytes.buffer] : [];
        await connection.call('add', { path: file.path, bytes, sha256 }, { transfer, signal });
      }
    })();
    const [detector] = await Promise.all([coming, loaded, added]);
    for (const stage of ['compile', 'verify', 'upload'] as const) this.#meter.advance(stage, 1);
    this.#meter.advance('warmup', 0);
    const session = await connection.call('open', this.#request, { signal });
    if (detector) await addDetector(connection, detector, signal);
    return session;
  }

  #describe(session: SessionInfo, bundle: BundleDownload, reason: string | undefined): Started {
    this.#meter.advance('ready', 1);
    const { card, ...rest } = session;
    const reasons = [reason, session.device === 'cpu' ? this.#cpu.fallback : undefined].filter(
      (one) => one !== undefined,
    );
    const fallback = reasons.length === 0 ? undefined : reasons.join(' ');
    return {
      connection: this.#connection,
      bundle,
      session: rest,
      ...(card === null ? {} : { card: bundle.addressOf(card).href }),
      ...(fallback === undefined ? {} : { fallback }),
    };
  }
}

/** An error's own advice, to create it again or take the CPU, is followed here already. */
function reasonOf({ code, message }: CliperError): string {
  return code === 'engine-panicked' ? 'it did not start; the console has the reason.' : message.replace(ADVICE, '.');
}
