// An engine that outlives its device: a lost one is opened again, or else the CPU goes on.

import { ADVICE, CliperError, isDeviceFault, toCliperError } from '../shared/errors.js';
import type { AnswerTo, AskedExpression, EmbeddedSentence, Kind, Request, SessionInfo } from '../shared/protocol.js';
import type { DeviceLoss, Precision } from '../shared/types.js';
import { inWords } from '../shared/values.js';
import { abortable, throwIfAborted } from './abort.js';
import { type Started, type StartOptions, start } from './create.js';
import { addDetector, type Detector } from './detector.js';
import { StartOver, Unanswered } from './device-loss.js';
import type { BundleDownload } from './loader.js';
import type { Caller, CallOptions } from './worker-client.js';

/** How often a lost device is opened again in an engine's life: one that is lost more often is not to be relied on. */
const MOST_REOPENED = 3;
/** Milliseconds before each try to open it: a browser that has lost its GPU's process starts another within a second. */
const WAITS = [0, 1000];

/** Calls that mean nothing to an engine that has not had the ones before them. */
const NEEDS_EARLIER: ReadonlySet<Kind> = new Set<Kind>([
  'pushClip',
  'pushFaceClip',
  'recognizeClip',
  'recognizeFaceClip',
  'addExample',
  'learn',
  'finishLesson',
  'endCalibration',
]);

/** What an engine says of itself: it changes where its device is lost, and where other expressions are asked for. */
export interface EngineInfo extends Omit<SessionInfo, 'card'> {
  card?: string;
  fallback?: string;
  deviceLosses: number;
}

export class EngineClient implements Caller {
  readonly #lifetime = new AbortController();
  #reopening: Promise<void> | undefined;
  #losses = 0;

  private constructor(
    private readonly options: StartOptions,
    /** What its session is opened with, again and again. */
    private readonly request: Request<'open'>,
    private withFaces: boolean,
    private started: Started,
  ) {}

  /** Starts a worker and in it the engine with the bundle, its session opened with `request`. */
  static async open(options: StartOptions, request: Request<'open'>, withFaces = false): Promise<EngineClient> {
    return new EngineClient(options, request, withFaces, await start(options, request, withFaces));
  }

  /** What the session says, as it came. */
  get session(): Omit<SessionInfo, 'card'> {
    return this.started.session;
  }

  get info(): EngineInfo {
    const { session, card, fallback } = this.started;
    return {
      ...session,
      ...(card === undefined ? {} : { card }),
      ...(fallback === undefined ? {} : { fallback }),
      deviceLosses: this.#losses,
    };
  }

  /** Where the bundle's other files come from. */
  get bundle(): BundleDownload {
    return this.started.bundle;
  }

  /**
   * Asks the engine; what is in `transfer` is gone from here. Where its device is lost the call goes to the next one.
   *
   * @throws {StartOver} where it can't: the frame was not read yet, or the clip's other frames are gone
   */
  async call<K extends Kind>(kind: K, request: Request<K>, options: CallOptions = {}): Promise<AnswerTo<K>> {
    const { signal } = options;
    for (let asked = request, given = options; ; ) {
      if (this.#reopening) await settled(this.#reopening, signal);
      const { started } = this;
      try {
        return await started.connection.call(kind, asked, given);
      } catch (thrown) {
        const error = toCliperError(thrown);
        const isLost = error instanceof StartOver || (started.session.device === 'webgpu' && isDeviceFault(error));
        if (!isLost || this.#lifetime.signal.aborted) throw thrown;
        await settled(this.#reopen(started, error), signal);
        if (NEEDS_EARLIER.has(kind)) throw new StartOver(error);
        if (!given.transfer) continue;
        if (!(error instanceof Unanswered)) throw new StartOver(error);
        asked = { ...asked, bitmap: error.frame };
        given = { ...given, transfer: [error.frame.data.buffer] };
      }
    }
  }

  /** Gives the engine the face detector, which it has from now on. */
  async addDetector(detector: Detector, signal: AbortSignal): Promise<void> {
    await addDetector(this, detector, signal);
    this.withFaces = true;
  }

  /** What a session that is opened again begins with. */
  remember(more: Partial<Request<'open'>>): void {
    Object.assign(this.request, more);
  }

  /** Answers compare faces with these sentences from now on, on the next device too. */
  setSentences(sentences: EmbeddedSentence[], signal: AbortSignal | undefined): Promise<void> {
    return this.#set(async () => {
      await this.call('setSentences', { sentences });
      this.remember({ sentences });
    }, signal);
  }

  /** Answers name these expressions from now on, on the next device too; without any the bundle's own. */
  setExpressions(expressions: AskedExpression[] | undefined, signal: AbortSignal | undefined): Promise<void> {
    return this.#set(async () => {
      const described = await this.call('setExpressions', { expressions });
      this.remember({ expressions });
      this.started.session.expressions = described;
    }, signal);
  }

  /** Faces that were followed: no device gives their numbers again. */
  rememberFaces(faces: readonly { id: number }[]): void {
    const { nextFace = 0 } = this.request;
    this.request.nextFace = faces.reduce((next, { id }) => Math.max(next, id + 1), nextFace);
  }

  /** Ends the worker; every call, waiting or to come, fails with `error`. */
  close(error: CliperError): void {
    this.#lifetime.abort(error);
    this.started.connection.close(error);
  }

  /** What the engine has been told is remembered, though whoever told it waits no longer: both say the same. */
  async #set(tell: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    if (signal) throwIfAborted(signal);
    await settled(tell(), signal);
  }

  #reopen(lost: Started, error: CliperError): Promise<void> {
    // Calls that waited for the same device fail together: the first opens the next one.
    if (lost === this.started) {
      this.#reopening ??= this.#openAgain(lost, error).finally(() => (this.#reopening = undefined));
    }
    return this.#reopening ?? Promise.resolve();
  }

  async #openAgain(lost: Started, error: CliperError): Promise<void> {
    lost.connection.close(new StartOver(error));
    const reason = error.message.replace(ADVICE, '.');
    this.started = await this.#next(reason);
    this.#losses++;
    const { device, adapter } = this.started.session;
    const loss: DeviceLoss = { reason, device, adapter };
    try {
      this.options.onDeviceLost?.(loss);
    } catch (thrown) {
      // The page's own fault, told as a listener's would be; the engine goes on.
      reportError(thrown);
    }
  }

  async #next(reason: string): Promise<Started> {
    const { onProgress: _, ...rest } = this.options;
    const { signal } = this.#lifetime;
    const options = { ...rest, signal };
    for (const wait of this.#losses < MOST_REOPENED ? WAITS : []) {
      await abortable(new Promise((resolve) => setTimeout(resolve, wait)), signal);
      try {
        return await start({ ...options, device: 'webgpu' }, this.request, this.withFaces);
      } catch (thrown) {
        if (!isDeviceFault(toCliperError(thrown))) throw thrown;
      }
    }
    const started = await start({ ...options, device: 'cpu' }, this.request, this.withFaces);
    return { ...started, fallback: [`WebGPU was left: ${reason}`, started.fallback].filter(Boolean).join(' ') };
  }
}

/** Refuses a precision that there is not; without one the bundle's own is taken. */
export function checkPrecision(precision: Precision | undefined): void {
  if (precision === undefined || precision === 'f32' || precision === 'int8') return;
  throw new CliperError('invalid-argument', `There is no precision '${inWords(precision)}': take 'f32' or 'int8'.`);
}

/** A call may be given up while the work that it waits for goes on. */
function settled(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return signal ? abortable(work, signal) : work;
}
