/// <reference lib="esnext.disposable" preserve="true" />
// The class that users meet: a worker with an open engine, and pictures through it.

import { CliperError } from '../shared/errors.js';
import { askedEvidence, refuseEvidence } from '../shared/evidence.js';
import type { Answer as Answered, AskedExpression, EmbeddedSentence, Shown, Snapshot } from '../shared/protocol.js';
import type {
  CalibrateOptions,
  Clip,
  ClipFaceRecognition,
  ClipOptions,
  ClipRecognition,
  Counters,
  CreateOptions,
  Examples,
  ExpressionDescription,
  FaceOptions,
  FaceRecognition,
  LookOptions,
  Picture,
  PushOptions,
  Recognition,
  RecognitionStream,
  RecognizeOptions,
  RecognizerInfo,
  RecognizerOptions,
  StreamOptions,
  TaughtExpression,
  TeachOptions,
  TextOptions,
  Timings,
  Understood,
  WithFaces,
  WithoutFaces,
} from '../shared/types.js';
import { inWords, isWithin } from '../shared/values.js';
import { abortable, throwIfAborted } from './abort.js';
import { type ClipReader, FaceClip, WholeClip } from './clip-timeline.js';
import { fetchDetector } from './detector.js';
import { startingOver } from './device-loss.js';
import { disposeSymbol } from './dispose.js';
import { checkPrecision, EngineClient } from './engine-client.js';
import { mergeFaceOptions, RATE } from './faces.js';
import { locateAssets } from './files.js';
import { openClip } from './film.js';
import { Pace } from './frame-scheduler.js';
import { type Fetch, globalFetch } from './loader.js';
import { type Read, readAnswer } from './predictions.js';
import { Pump, videoFrames } from './pump.js';
import { protectedImage, takeSnapshot } from './snapshot.js';
import { missingHere } from './support.js';
import { isTaught, partsOf, teach } from './teaching.js';
import { TextClient } from './text-client.js';

/** Options as they come in: with faces, without, or as the recognizer was created. */
type Asked<Options> = Options & { faces?: boolean | FaceOptions | undefined };

/** The stream of the frames that the page pushes itself; those of videos count on from it. */
const PUSHED = 0;

/** What a clip answers where the call doesn't say whether it wants faces. */
type ClipAnswer<Answer> = Answer extends FaceRecognition ? ClipFaceRecognition : ClipRecognition;

/** Most faces in one picture, where the caller names no other number. */
const MOST_IN_PICTURE = 32;

/**
 * Recognises apparent facial expressions in pictures and video, in a worker of this page: no frame leaves it.
 * Every instance has a worker and settings of its own. Every error is a {@link CliperError} with a `code`.
 *
 * @example
 * const recognizer = await ExpressionRecognizer.create();
 * const { top, expressions } = await recognizer.recognize(document.querySelector('img'));
 * console.log(top.name, top.score, expressions[0].descriptors[0].text);
 * recognizer.dispose();
 *
 * @typeParam Answer what calls answer that don't say whether they want faces: {@link FaceRecognition} if it was created
 * with `faces`, else {@link Recognition}
 */
export class ExpressionRecognizer<Answer extends Recognition | FaceRecognition = Recognition> {
  readonly #engine: EngineClient;
  readonly #options: CreateOptions;
  readonly #fetch: Fetch;
  /** For calls that don't say otherwise. */
  readonly #faces: FaceOptions | undefined;
  readonly #lifetime = new AbortController();
  /** Texts of the bundle's own descriptors. */
  readonly #own: ReadonlySet<string>;
  #text: TextClient | undefined;
  /** What frames have taught, by the text that stands for it. */
  readonly #taught = new Map<string, TaughtExpression>();
  #clips = 0;
  #lessons = 0;
  #streams = PUSHED;
  #detector: Promise<void> | undefined;

  private constructor(engine: EngineClient, options: CreateOptions, faces: FaceOptions | undefined) {
    this.#engine = engine;
    this.#options = options;
    this.#fetch = options.fetch ?? globalFetch;
    this.#faces = faces;
    if (faces) this.#detector = Promise.resolve();
    this.#own = new Set(engine.session.expressions.flatMap(({ descriptors }) => descriptors));
  }

  /** What runs, and on what: a new object where the device was lost. */
  get info(): Readonly<RecognizerInfo> {
    const { channels, embedding, mean, std, wholePicture, expressions, ...info } = this.#engine.info;
    return { ...info, expressions: expressions.map(({ name }) => name) };
  }

  /** The texts that describe each expression now: the bundle's own, or those of `setDescriptors`. */
  get descriptors(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.#engine.session.expressions.map(({ name, descriptors }) => [name, descriptors]));
  }

  /** Whether this browser has what the library needs. WebGPU is not needed: the CPU does where there is none. */
  static isSupported(): boolean {
    return missingHere().length === 0;
  }

  /**
   * Downloads the bundle and the engine, and opens it on the best device. The built-in model needs nothing from
   * other hosts.
   *
   * @throws {CliperError} among others `network`, `missing-file`, `damaged-file`, `invalid-bundle`,
   * `unsupported-bundle`, `device-unavailable`, `aborted`, `unsupported-browser`, `worker-failed`, `version-mismatch`
   *
   * @example
   * const recognizer = await ExpressionRecognizer.create({
   *   onProgress: ({ loaded, total }) => (bar.value = loaded / total),
   * });
   *
   * @example
   * const recognizer = await ExpressionRecognizer.create({ faces: true }); // finds the faces first, and answers for each
   * for await (const { faces } of recognizer.stream(video)) {
   *   for (const { id, box, top } of faces) draw(id, box, top.name);
   * }
   */
  static create(options: WithFaces<CreateOptions>): Promise<ExpressionRecognizer<FaceRecognition>>;
  static create(options?: CreateOptions): Promise<ExpressionRecognizer>;
  static async create(
    options: Asked<CreateOptions> = {},
  ): Promise<ExpressionRecognizer<Recognition | FaceRecognition>> {
    checkWindow(options.window);
    const { window, movements, precision, balance } = options;
    checkBalance(balance);
    checkPrecision(precision);
    const request = {
      ...(window === undefined ? {} : { window }),
      ...(movements === undefined ? {} : { movements }),
      ...(balance === undefined ? {} : { balance }),
    };
    const faces = mergeFaceOptions(options.faces);
    const located = locateAssets(options);
    const engine = await EngineClient.open(located, request, faces !== undefined);
    const recognizer = new ExpressionRecognizer<Recognition | FaceRecognition>(engine, located, faces);
    const { taught = [] } = options;
    if (taught.length > 0) await recognizer.#begin(taught, options.signal);
    return recognizer;
  }

  /**
   * Recognises one picture. It sees the centre square, or what the bundle's own preprocessing makes of all of it, or `box`; a
   * stream's window is left alone. With `faces` it finds
   * the faces in the whole picture, or in `box`, and answers for each; the detector is fetched when first asked for. With
   * `mirror` it looks at the mirror image too, and answers both alike, in twice the encoder's time. With `evidence` it says
   * where on the picture each similarity comes from.
   *
   * @throws {CliperError} `not-an-image`, `invalid-image` (no pixels), `image-too-large`, `image-protected`,
   * `invalid-argument` (a box outside, an `evidence` that there is not), `network` and `missing-file` (of an address), `aborted`, `disposed`
   *
   * @example
   * input.onchange = async () => {
   *   const { top } = await recognizer.recognize(input.files[0]);
   *   console.log(`${top.name}: ${Math.round(top.score * 100)} %`);
   * };
   *
   * @example
   * const { state, faces } = await recognizer.recognize(photo, { faces: { zoom: 2 } });
   * console.log(state === 'no-face' ? 'Nobody there' : faces.map(({ top }) => top.name).join(', '));
   */
  recognize(picture: Picture, options: WithFaces<RecognizeOptions>): Promise<FaceRecognition>;
  recognize(picture: Picture, options: WithoutFaces<RecognizeOptions>): Promise<Recognition>;
  recognize(picture: Picture, options?: RecognizeOptions): Promise<Answer>;
  async recognize(picture: Picture, options: Asked<RecognizeOptions> = {}): Promise<Recognition | FaceRecognition> {
    const { mirror = false } = options;
    const evidence = askedEvidence(options.evidence);
    const faces = mergeFaceOptions(this.#faces, options.faces);
    if (!faces) {
      return startingOver(() =>
        this.#answer(picture, options, false, (snapshot, signal) =>
          this.#engine.call('recognize', { ...snapshot, mirror, evidence }, { transfer: [snapshot.bitmap], signal }),
        ),
      );
    }
    await this.#haveDetector(options.signal);
    const request = { mirror, evidence, faces: { maxFaces: MOST_IN_PICTURE, ...faces } };
    return startingOver(() =>
      this.#answer(picture, options, true, (snapshot, signal) =>
        this.#engine.call('recognizeFaces', { ...snapshot, ...request }, { transfer: [snapshot.bitmap], signal }),
      ),
    );
  }

  /**
   * Adds one frame to the window of what the page pushes and answers for the window; with `faces`, each face that is
   * followed has a window of its own. One recognizer takes the frames of one source so; `stream` keeps its video's apart.
   *
   * @throws {CliperError} as `recognize`
   *
   * @example
   * const { top, window } = await recognizer.push(canvas, { timestamp: performance.now() });
   */
  push(frame: Picture, options: WithFaces<PushOptions>): Promise<FaceRecognition>;
  push(frame: Picture, options: WithoutFaces<PushOptions>): Promise<Recognition>;
  push(frame: Picture, options?: PushOptions): Promise<Answer>;
  async push(frame: Picture, options: Asked<PushOptions> = {}): Promise<Recognition | FaceRecognition> {
    refuseEvidence(options, 'A stream');
    return startingOver(() => this.#push(PUSHED, frame, options));
  }

  /**
   * Answers for a video's frames: `rate` looks a second, one frame in flight, the others left out, none queued, and none
   * while the page is hidden; a device that is slower gets more time between its frames. The iteration ends with the
   * video, with `stop()`, with `dispose()`, or by leaving it.
   *
   * Several streams may run at once: each has windows of its own, and takes its turn on the device.
   *
   * With `faces`, faces are followed on every frame that finds the device free, and each is looked at `rate` times a
   * second. No face is an answer: `state` is then `no-face`.
   *
   * @example
   * const stream = recognizer.stream(video);
   * stopButton.onclick = () => stream.stop();
   * for await (const { top } of stream) caption.textContent = `${top.name}, ${stream.stats.fps.toFixed()} a second`;
   *
   * @example
   * for await (const { faces } of recognizer.stream(video, { faces: { maxFaces: 2 } })) {
   *   caption.textContent = faces.map(({ id, top }) => `${id}: ${top.name}`).join(', ');
   * }
   */
  stream(video: HTMLVideoElement, options: WithFaces<StreamOptions>): RecognitionStream<FaceRecognition>;
  stream(video: HTMLVideoElement, options: WithoutFaces<StreamOptions>): RecognitionStream;
  stream(video: HTMLVideoElement, options?: StreamOptions): RecognitionStream<Answer>;
  stream(
    video: HTMLVideoElement,
    options: Asked<StreamOptions> = {},
  ): RecognitionStream<Recognition | FaceRecognition> {
    const { signal } = this.#lifetime;
    if (signal.aborted) throw signal.reason;
    refuseEvidence(options, 'A stream');
    const { rate = RATE, box } = options;
    const asked = mergeFaceOptions(this.#faces, options.faces);
    const faces = asked ? { rate, ...asked } : false;
    if (typeof video !== 'object' || video === null || !('videoWidth' in video)) {
      throw new CliperError(
        'invalid-argument',
        'This is no video element: give one that plays a camera or a film, or `push` your frames.',
      );
    }
    const stream = ++this.#streams;
    const send = (timestamp: number): Promise<Recognition | FaceRecognition> =>
      this.#push(stream, video, { timestamp, faces, ...(box ? { box } : {}) });
    const forget = (): void => void this.#engine.call('endStream', { stream }).catch(() => {});
    return new Pump(videoFrames(video), send, signal, new Pace(rate, faces !== false), forget);
  }

  /**
   * Recognises a clip from frames spread evenly over it, and gives a time-line of them. A video is read in an element of
   * its own: yours keeps its place. No stream's window is touched. With `faces` every face is found in every frame that is
   * looked at, followed from one to the next, and answered for by itself, with a time-line of its own.
   *
   * @throws {CliperError} as `recognize`, and `video-failed` for a film that does not play, has no end, or stalls
   *
   * @example
   * const { top, timeline } = await recognizer.recognizeClip(file, {
   *   from: 2,
   *   to: 6,
   *   onProgress: ({ done, total }) => (bar.value = done / total),
   * });
   * console.log(top.name, timeline.map(({ time, top }) => `${time.toFixed(1)} s: ${top.name}`));
   */
  recognizeClip(clip: Clip, options: WithFaces<ClipOptions>): Promise<ClipFaceRecognition>;
  recognizeClip(clip: Clip, options: WithoutFaces<ClipOptions>): Promise<ClipRecognition>;
  recognizeClip(clip: Clip, options?: ClipOptions): Promise<ClipAnswer<Answer>>;
  async recognizeClip(clip: Clip, options: Asked<ClipOptions> = {}): Promise<ClipRecognition | ClipFaceRecognition> {
    refuseEvidence(options, 'A clip');
    const { frames: length = this.info.window } = options;
    checkWindow(length);
    const faces = mergeFaceOptions(this.#faces, options.faces);
    if (faces) await this.#haveDetector(options.signal);
    return startingOver<ClipRecognition | ClipFaceRecognition>(() => {
      const id = { clip: this.#clips++, length };
      if (!faces) return this.#readClip(clip, options, id, false, new WholeClip(this.#engine, id));
      return this.#readClip(clip, options, id, true, new FaceClip(this.#engine, id, faces));
    });
  }

  /**
   * Compares faces with sentences of yours from now on: every answer, of streams too, carries `texts`, each with its
   * `similarity` and its `strength`. They take the place of earlier ones; an empty list ends it. The first call fetches the
   * bundle's text side.
   *
   * @throws {CliperError} `unsupported-bundle` (the bundle has no text side), `invalid-text` (no words, too long, another
   * script), `invalid-argument`, `network`, `damaged-file`, `aborted`, `disposed`
   *
   * @example
   * await recognizer.describe(['lips parted a little', 'glancing to one side']);
   * const { texts } = await recognizer.recognize(photo);
   * console.log(texts.map(({ text, strength }) => `${text}: above ${Math.round(100 * strength)} % of faces`));
   */
  async describe(texts: readonly string[], options: TextOptions = {}): Promise<Understood> {
    const asked = checkTexts(texts);
    const sentences = asked.length > 0 ? await this.#embed(asked, options) : [];
    await this.#engine.setSentences(sentences, options.signal);
    return { foreign: foreignOf(sentences) };
  }

  /**
   * Answers in expressions of yours from now on, each described by texts: the model's own descriptors, which
   * `recognizer.descriptors` lists, any sentences, and what `teach` has learned. Windows stay, and a stream's scores follow at its next frame. Expressions
   * that are left out are not answered; descriptors of several, taught ones among them, under one name make them one. `null` takes the model's own again.
   *
   * The model has learned its own descriptors and not yours: say what a face does (`'one eye closed'`), and try it on pictures.
   *
   * @throws {CliperError} as `describe`, and `invalid-bundle` for fewer than two expressions, and for texts that are empty or
   * come twice
   *
   * @example
   * const { happiness, surprise, neutral } = recognizer.descriptors;
   * await recognizer.setDescriptors({ neutral, positive: [...happiness, ...surprise], wink: ['one eye closed', 'a winking face'] });
   */
  async setDescriptors(
    descriptors: Readonly<Record<string, ExpressionDescription>> | null,
    options: TextOptions = {},
  ): Promise<Understood> {
    if (descriptors === null) {
      await this.#engine.setExpressions(undefined, options.signal);
      return { foreign: [] };
    }
    if (typeof descriptors !== 'object') throw new CliperError('invalid-argument', NO_TEXTS);
    const asked = Object.entries(descriptors).map(([name, description]) => ({ name, parts: partsOf(description) }));
    const parts = asked.flatMap(({ parts }) => parts);
    for (const taught of parts.filter(isTaught)) {
      for (const { text } of taught.descriptors ?? []) this.#taught.set(text, taught);
    }
    const texts = parts.filter((part) => typeof part === 'string');
    const unknown = [...new Set(texts)].filter((text) => !this.#own.has(text) && !this.#taught.has(text));
    const sentences = unknown.length > 0 ? await this.#embed(unknown, options) : [];
    const byText = new Map(sentences.map((sentence) => [sentence.text, sentence]));
    const descriptorOf = (part: string | TaughtExpression): AskedExpression['descriptors'][number] => {
      const taught = typeof part === 'string' ? this.#taught.get(part) : part;
      if (taught) return { taught };
      const sentence = byText.get(part as string);
      return sentence ? { sentence } : { known: part as string };
    };
    const expressions = asked.map(({ name, parts }) => ({ name, descriptors: parts.map(descriptorOf) }));
    await this.#engine.setExpressions(expressions, options.signal);
    return { foreign: foreignOf(sentences) };
  }

  /**
   * Learns an expression from a few frames of one face, some that show it and some at rest: in the engine's worker, by METD's
   * first stage with the encoder frozen, in about a second. Nothing is answered otherwise until the result is given to
   * `setDescriptors`, or to `create`. It is plain data that can be saved; it suits the face that it was learned from best.
   *
   * @throws {CliperError} `invalid-argument` (fewer than 3 frames of either kind, a frame without a face, no name),
   * `unsupported-bundle` (the bundle does not say how faces are spread), and as `recognize`
   *
   * @example
   * const wink = await recognizer.teach('wink', { shown: winkingFrames, neutral: restingFrames });
   * await recognizer.setDescriptors({ ...recognizer.descriptors, wink });
   * localStorage.setItem('wink', JSON.stringify(wink)); // later: create({ taught: [JSON.parse(localStorage.getItem('wink'))] })
   */
  async teach(name: string, { shown, neutral }: Examples, options: TeachOptions = {}): Promise<TaughtExpression> {
    const { onProgress, faces: findFace = this.#faces !== undefined } = options;
    if (typeof name !== 'string' || name.trim() === '') {
      throw new CliperError('invalid-argument', "The expression has no name: give one, such as 'wink'.");
    }
    const examples = [
      ...[...shown].map((picture) => ({ picture, neutral: false })),
      ...[...neutral].map((picture) => ({ picture, neutral: true })),
    ];
    if (findFace) await this.#haveDetector(options.signal);
    const signal = this.#until(options.signal);
    throwIfAborted(signal);
    return startingOver(() =>
      teach(
        this.#engine,
        name,
        examples,
        this.#lessons++,
        ({ picture, neutral }, lesson, signal) =>
          this.#answer(picture, { signal }, findFace, (snapshot, signal) => {
            const request = { ...snapshot, lesson, neutral, findFace };
            return this.#engine.call('addExample', request, { transfer: [snapshot.bitmap], signal });
          }),
        { signal, ...(onProgress ? { onProgress } : {}) },
      ),
    );
  }

  /**
   * Looks at the neutral face of everybody that the running streams see, for a few seconds, and leaves what is their own out of
   * later answers: a mouth that turns down by nature says less then. A stream that follows faces knows each of them, and
   * forgets it with the face; any other knows one person. `reset` forgets everybody.
   *
   * @returns how many people are known now
   * @throws {CliperError} `invalid-argument` (nobody was seen: frames must come meanwhile; seconds or a share out of range),
   * `unsupported-bundle` (the bundle does not say what neutral faces are like), `aborted`, `disposed`
   *
   * @example
   * caption.textContent = 'Please look at the camera, at rest.';
   * await recognizer.calibrate({ seconds: 3 }); // while `for await (... of recognizer.stream(video))` runs
   */
  async calibrate({ seconds = 3, share, signal: asked }: CalibrateOptions = {}): Promise<number> {
    if (!isWithin(seconds, Number.MIN_VALUE, 60)) {
      throw new CliperError(
        'invalid-argument',
        `A calibration of ${inWords(seconds)} seconds is not possible: give up to 60.`,
      );
    }
    if (share !== undefined && !isWithin(share, 0, 1)) {
      throw new CliperError('invalid-argument', `A share of ${inWords(share)} is not possible: give 0 to 1.`);
    }
    const signal = this.#until(asked);
    return startingOver(async () => {
      await this.#engine.call('startCalibration', null, { signal });
      try {
        await abortable(new Promise((resolve) => setTimeout(resolve, 1000 * seconds)), signal);
        const known = await this.#engine.call('endCalibration', { share }, { signal });
        if (known > 0) return known;
      } catch (thrown) {
        void this.#engine.call('dropCalibration', null).catch(() => {});
        throw thrown;
      }
      throw new CliperError('invalid-argument', 'Nobody was seen while it lasted: calibrate while a stream runs.');
    });
  }

  /** Changes what is named in `patch`, and leaves the rest. */
  async setOptions(patch: RecognizerOptions): Promise<void> {
    checkWindow(patch.window);
    checkBalance(patch.balance);
    await this.#engine.call('configure', patch);
    this.#engine.remember(patch);
  }

  /** Empties every stream's windows and forgets its faces, as at a cut or when another person sits down. */
  async reset(): Promise<void> {
    await this.#engine.call('reset', null);
  }

  /** Passes, uploads and read-backs so far. */
  counters(): Promise<Counters> {
    return this.#engine.call('counters', null);
  }

  /** Ends the worker and frees all memory. Streams end; every other call, waiting or to come, fails with `disposed`. */
  dispose(): void {
    const error = new CliperError('disposed', 'This recognizer was disposed: create a new one.');
    this.#lifetime.abort(error);
    this.#engine.close(error);
    this.#text?.close(error);
  }

  /** For `using recognizer = await ExpressionRecognizer.create()`. */
  [disposeSymbol](): void {
    this.dispose();
  }

  /** Answers with taught expressions beside the model's own from the start, or not at all. */
  async #begin(taught: readonly TaughtExpression[], signal: AbortSignal | undefined): Promise<void> {
    try {
      const added = Object.fromEntries(taught.map((expression) => [expression.name, expression]));
      await this.setDescriptors({ ...this.descriptors, ...added }, signal ? { signal } : {});
    } catch (thrown) {
      this.dispose();
      throw thrown;
    }
  }

  async #push(stream: number, frame: Picture, options: Asked<PushOptions>): Promise<Recognition | FaceRecognition> {
    const { timestamp = performance.now() } = options;
    if (!Number.isFinite(timestamp)) {
      throw new CliperError('invalid-argument', `The timestamp ${inWords(timestamp)} is no time: give milliseconds.`);
    }
    const request = { stream, timestamp };
    const faces = mergeFaceOptions(this.#faces, options.faces);
    if (!faces) {
      return this.#answer(frame, options, false, (snapshot, signal) =>
        this.#engine.call('push', { ...snapshot, ...request }, { transfer: [snapshot.bitmap], signal }),
      );
    }
    await this.#haveDetector(options.signal);
    const answer = await this.#answer(frame, options, true, (snapshot, signal) =>
      this.#engine.call('pushFaces', { ...snapshot, ...request, faces }, { transfer: [snapshot.bitmap], signal }),
    );
    this.#engine.rememberFaces(answer.faces);
    return answer;
  }

  async #embed(texts: readonly string[], { signal, onProgress }: TextOptions): Promise<EmbeddedSentence[]> {
    const { signal: lifetime } = this.#lifetime;
    throwIfAborted(lifetime);
    this.#text ??= new TextClient(this.#options, lifetime);
    const { bundle, session } = this.#engine;
    const both = this.#until(signal);
    return this.#text.embed(texts, bundle, session.embedding, { signal: both, onProgress });
  }

  /** Fetches the detector once, unless it came with the start; a failure is tried again by the next call. */
  async #haveDetector(asked: AbortSignal | undefined): Promise<void> {
    const { signal } = this.#lifetime;
    this.#detector ??= (async () => {
      const { detector, cache = true } = this.#options;
      const fetched = await fetchDetector(detector, { fetch: this.#fetch, cache, signal });
      await this.#engine.addDetector(fetched, signal);
    })().catch((thrown: unknown) => {
      this.#detector = undefined;
      throw thrown;
    });
    await (asked ? abortable(this.#detector, asked) : this.#detector);
  }

  async #readClip<P extends object, R extends object>(
    clip: Clip,
    options: ClipOptions,
    { clip: id, length: total }: { clip: number; length: number },
    isWhole: boolean,
    reader: ClipReader<P, R>,
  ): Promise<Omit<R, 'from' | 'to' | 'timings'> & { from: number; to: number; timings: Timings }> {
    const start = performance.now();
    const { box, onProgress } = options;
    const signal = this.#until(options.signal);
    throwIfAborted(signal);
    const opened = await openClip(clip, options, total, this.#fetch, signal);
    try {
      const timings = { decode: 0, engine: 0 };
      let done = 0;
      for await (const frame of opened.frames) {
        if (frame) {
          const asked = { ...(box && { box }), signal };
          const answer = await this.#answer(frame.picture, asked, isWhole, (snapshot, signal) =>
            reader.push(snapshot, signal),
          );
          timings.decode += answer.timings.decode;
          timings.engine += answer.timings.engine;
          reader.add(frame.time, answer);
        }
        // A short list has fewer frames than `total`; the bar still ends full.
        onProgress?.({ done: Math.min(++done, total), total });
      }
      const asked = performance.now();
      const result = await reader.finish(signal);
      if (done < total) onProgress?.({ done: total, total });
      timings.engine += performance.now() - asked;
      const { from, to } = opened;
      return { ...result, from, to, timings: { ...timings, total: performance.now() - start } };
    } catch (thrown) {
      // The engine may be gone itself: then there is nothing to forget.
      void this.#engine.call('dropClip', { clip: id }).catch(() => {});
      throw thrown;
    } finally {
      opened.close();
    }
  }

  /** Aborts with what the caller gave, and with the recognizer. */
  #until(asked: AbortSignal | undefined): AbortSignal {
    const { signal } = this.#lifetime;
    return asked ? AbortSignal.any([signal, asked]) : signal;
  }

  async #answer<P extends object>(
    picture: Picture,
    { box, signal: asked }: LookOptions,
    isWhole: boolean,
    call: (snapshot: Snapshot<Shown>, signal: AbortSignal) => Promise<Answered<P>>,
  ): Promise<Read<P> & { timings: Timings }> {
    const start = performance.now();
    const signal = this.#until(asked);
    const part = box ?? (isWhole || this.#engine.session.wholePicture ? 'whole' : undefined);
    const snapshot = await abortable(takeSnapshot(picture, part, this.#fetch, signal), signal);
    const sent = performance.now();
    const { prediction, decode, engine } = await call(snapshot, signal).catch((thrown: unknown) => {
      snapshot.bitmap.close();
      throw isUnsendable(thrown) ? protectedImage(thrown) : thrown;
    });
    const read = readAnswer(prediction, this.#engine.session.expressions);
    return { ...read, timings: { decode: sent - start + decode, engine, total: performance.now() - start } };
  }
}

/** A bitmap whose pixels this page may not read can't go to a worker. */
function isUnsendable(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === 'DataCloneError';
}

const NO_TEXTS = "These are no texts: give sentences, such as ['lips parted a little'].";

function checkTexts(texts: readonly string[]): readonly string[] {
  if (Array.isArray(texts) && texts.every((text) => typeof text === 'string')) return texts;
  throw new CliperError('invalid-argument', NO_TEXTS);
}

function foreignOf(sentences: readonly EmbeddedSentence[]): string[] {
  return sentences.filter(({ foreign }) => foreign).map(({ text }) => text);
}

function checkBalance(balance: number | undefined): void {
  if (balance === undefined || isWithin(balance, 0, 1)) return;
  throw new CliperError('invalid-argument', `A balance of ${inWords(balance)} is not possible: give 0 to 1.`);
}

function checkWindow(window: number | undefined): void {
  if (window === undefined || (Number.isSafeInteger(window) && window >= 1)) return;
  throw new CliperError(
    'invalid-argument',
    `A window of ${inWords(window)} frames is not possible: give a whole number, at least 1.`,
  );
}
