// The engine in the worker: the wasm file of one device, its session, and pictures through it.

import { ADVICE, CliperError, isDeviceFault, toCliperError } from '../shared/errors.js';
import type {
  Adapter,
  Answer,
  AnswerTo,
  CompactFrame,
  CompactPrediction,
  EngineFile,
  Kind,
  Request,
  SessionInfo,
  Snapshot,
} from '../shared/protocol.js';
import type { Counters } from '../shared/types.js';
import type { BundleLoader, Session } from '../wasm/cpu/cliper.js';
import * as cpu from '../wasm/cpu/cliper.js';
import * as cpuRelaxed from '../wasm/cpu-relaxed/cliper.js';
import * as cpuThreads from '../wasm/cpu-threads/cliper.js';
import type { TextSide } from '../wasm/text/cliper.js';
import * as text from '../wasm/text/cliper.js';
import * as webgpu from '../wasm/webgpu/cliper.js';
import { describeAdapter, findAdapter, probeAdapter } from './adapter.js';
import { moveFaces } from './faces.js';
import { instantiate } from './instance.js';
import { type PixelParts, PixelReader } from './pixels.js';
import { becomeHelper } from './thread.js';

/** All in this one script: a worker that imports while it runs is more than some bundlers make. */
const GLUES: Record<EngineFile, typeof cpu> = {
  webgpu,
  cpu,
  'cpu-relaxed': cpuRelaxed,
  'cpu-threads': cpuThreads,
};

type Handlers = { [K in Kind]: (request: Request<K>) => AnswerTo<K> | Promise<AnswerTo<K>> };

/** One method a call of the protocol; never two at a time. */
export class Engine implements Handlers {
  #loader: BundleLoader | undefined;
  #session: Session | undefined;
  #text: TextSide | undefined;
  #memory: WebAssembly.Memory | undefined;
  #pixels: PixelReader | undefined;
  /** The frame under way. */
  #frame: ImageData | undefined;

  probe(): Promise<Adapter | null> {
    return probeAdapter();
  }

  async load({ file, threads, wasm, manifest, labels, precision }: Request<'load'>): Promise<AnswerTo<'load'>> {
    const { engineMemory, BundleLoader } = GLUES[file];
    await instantiate(GLUES[file], { module_or_path: wasm });
    this.#memory = engineMemory();
    this.#loader = new BundleLoader(manifest, labels, precision);
    return threads > 1 ? { memory: this.#memory, pool: given(this.#loader.setThreads?.(threads)) } : null;
  }

  async help(start: Request<'help'>): Promise<null> {
    await becomeHelper(start);
    return null;
  }

  add({ path, bytes, sha256 }: Request<'add'>): null {
    given(this.#loader).add(path, bytes, sha256);
    return null;
  }

  async open({ window, movements = false, nextFace, ...wording }: Request<'open'>): Promise<SessionInfo> {
    const loader = given(this.#loader);
    this.#loader = undefined;
    await offerAdapter(loader);
    this.#session = await loader.open();
    if (window !== undefined) this.#session.setWindow(window);
    if (movements) this.#session.setMovements(true);
    if (nextFace !== undefined) this.#session.setNextFace(nextFace);
    const { info } = this.#session;
    if (wording.balance !== undefined) this.#session.setBalance(wording.balance);
    if (wording.sentences) this.#session.setSentences(wording.sentences);
    if (wording.expressions) info.expressions = this.#session.setExpressions(wording.expressions);
    return info;
  }

  recognize({ mirror, evidence, ...snapshot }: Request<'recognize'>): Promise<Answer> {
    const session = given(this.#session);
    return this.#answerPhoto(snapshot, (pixels, width, height) =>
      session.recognize(pixels, width, height, mirror, evidence),
    );
  }

  push({ stream, timestamp, ...snapshot }: Request<'push'>): Promise<Answer> {
    const session = given(this.#session);
    return this.#answer(snapshot, (rgba, width, height) => session.push(stream, rgba, width, height, timestamp));
  }

  pushClip({ clip, length, ...snapshot }: Request<'pushClip'>): Promise<Answer> {
    const session = given(this.#session);
    return this.#answer(snapshot, (rgba, width, height) => session.pushClip(clip, length, rgba, width, height));
  }

  recognizeClip({ clip }: Request<'recognizeClip'>): Promise<CompactPrediction> {
    return given(this.#session).recognizeClip(clip);
  }

  async pushFaceClip({ clip, length, faces, ...snapshot }: Request<'pushFaceClip'>): Promise<Answer<CompactFrame>> {
    const session = given(this.#session);
    const answer = await this.#answer(snapshot, (rgba, width, height) =>
      session.pushFaceClip(clip, length, rgba, width, height, faces),
    );
    return { ...answer, prediction: moveFaces(answer.prediction, snapshot.crop) };
  }

  /** Places are the last frame's part's: the page, which knows the part, has each face's place already. */
  recognizeFaceClip({ clip }: Request<'recognizeFaceClip'>): Promise<CompactFrame> {
    return given(this.#session).recognizeFaceClip(clip);
  }

  dropClip({ clip }: Request<'dropClip'>): null {
    given(this.#session).dropClip(clip);
    return null;
  }

  /** Pixels that were prepared elsewhere. */
  encode({ pixels }: Request<'encode'>): Promise<Float32Array> {
    return given(this.#session).encode(pixels);
  }

  /**
   * The frame that was not answered, if it was read. Bitmaps and frames may lie on the GPU and go down with it: a lost one reads as
   * nothing at all, which is no picture to answer for.
   */
  takeFrame(): ImageData | undefined {
    const frame = this.#frame;
    this.#frame = undefined;
    return frame && isBlank(frame) ? undefined : frame;
  }

  addDetector({ manifest, bytes }: Request<'addDetector'>): null {
    given(this.#session).addDetector(manifest, bytes);
    return null;
  }

  async recognizeFaces({
    faces,
    mirror,
    evidence,
    ...snapshot
  }: Request<'recognizeFaces'>): Promise<Answer<CompactFrame>> {
    const session = given(this.#session);
    const answer = await this.#answerPhoto(snapshot, (pixels, width, height) =>
      session.recognizeFaces(pixels, width, height, faces, mirror, evidence),
    );
    return { ...answer, prediction: moveFaces(answer.prediction, snapshot.crop) };
  }

  async pushFaces({ stream, faces, timestamp, ...snapshot }: Request<'pushFaces'>): Promise<Answer<CompactFrame>> {
    const session = given(this.#session);
    const answer = session.needsPicture(stream, timestamp)
      ? await this.#answer(snapshot, (rgba, width, height) =>
          session.pushFaces(stream, rgba, width, height, timestamp, faces),
        )
      : await this.#answerUnseen(snapshot, () => session.pushFaces(stream, undefined, 0, 0, timestamp, faces));
    return { ...answer, prediction: moveFaces(answer.prediction, snapshot.crop) };
  }

  endStream({ stream }: Request<'endStream'>): null {
    given(this.#session).end(stream);
    return null;
  }

  configure({ window, balance }: Request<'configure'>): null {
    const session = given(this.#session);
    if (window !== undefined) session.setWindow(window);
    if (balance !== undefined) session.setBalance(balance);
    return null;
  }

  setSentences({ sentences }: Request<'setSentences'>): null {
    given(this.#session).setSentences(sentences);
    return null;
  }

  setExpressions({ expressions }: Request<'setExpressions'>): AnswerTo<'setExpressions'> {
    return given(this.#session).setExpressions(expressions);
  }

  startCalibration(): null {
    given(this.#session).startCalibration();
    return null;
  }

  endCalibration({ share }: Request<'endCalibration'>): number {
    return given(this.#session).endCalibration(share);
  }

  dropCalibration(): null {
    given(this.#session).dropCalibration();
    return null;
  }

  addExample({ lesson, neutral, findFace, ...snapshot }: Request<'addExample'>): Promise<Answer<{ found: boolean }>> {
    const session = given(this.#session);
    return this.#answer(snapshot, async (rgba, width, height) => ({
      found: await session.addExample(lesson, rgba, width, height, neutral, findFace),
    }));
  }

  learn({ lesson, name, steps }: Request<'learn'>): AnswerTo<'learn'> {
    return given(this.#session).learn(lesson, name, steps);
  }

  finishLesson({ lesson, name }: Request<'finishLesson'>): AnswerTo<'finishLesson'> {
    return given(this.#session).finishLesson(lesson, name);
  }

  dropLesson({ lesson }: Request<'dropLesson'>): null {
    given(this.#session).dropLesson(lesson);
    return null;
  }

  async loadText({ wasm, description, weights, width }: Request<'loadText'>): Promise<null> {
    await instantiate(text, { module_or_path: wasm });
    this.#text = new text.TextSide(description, weights, width);
    return null;
  }

  embed({ texts }: Request<'embed'>): AnswerTo<'embed'> {
    return given(this.#text).embed(texts);
  }

  reset(): null {
    given(this.#session).reset();
    return null;
  }

  counters(): Counters {
    return { ...given(this.#session).counters, memoryBytes: this.#memory?.buffer.byteLength ?? 0 };
  }

  /** A frame that the engine can answer for without its pixels, which cost the most to read. */
  async #answerUnseen<P>({ bitmap }: Snapshot, run: () => Promise<P>): Promise<Answer<P>> {
    if ('close' in bitmap) bitmap.close();
    const start = performance.now();
    return { prediction: await run(), decode: 0, engine: performance.now() - start };
  }

  async #answer<P>(
    { bitmap, crop }: Snapshot,
    run: (rgba: Uint8Array, width: number, height: number) => Promise<P>,
  ): Promise<Answer<P>> {
    const start = performance.now();
    this.#pixels ??= new PixelReader();
    const frame = await this.#pixels.read(bitmap, crop);
    this.#frame = frame;
    const { data, width, height } = frame;
    const read = performance.now();
    const prediction = await run(new Uint8Array(data.buffer), width, height);
    this.#frame = undefined;
    return { prediction, decode: read - start, engine: performance.now() - read };
  }

  /** The same of a picture that the engine may read part by part. */
  async #answerPhoto<P>(
    snapshot: Snapshot,
    run: (pixels: Uint8Array | PixelParts, width: number, height: number) => Promise<P>,
  ): Promise<Answer<P>> {
    this.#pixels ??= new PixelReader();
    const parts = this.#pixels.inParts(snapshot.bitmap, snapshot.crop);
    if (!parts) return this.#answer(snapshot, run);
    const start = performance.now();
    try {
      const prediction = await run(parts, parts.width, parts.height);
      return { prediction, decode: 0, engine: performance.now() - start };
    } catch (thrown) {
      // The next device gets it whole.
      if (isDeviceFault(toCliperError(thrown))) this.#frame = parts.whole();
      throw thrown;
    } finally {
      parts.close();
    }
  }
}

/** Tells the WebGPU file which adapter the browser has: it opens the same one, and knows neither its name nor its kind. */
async function offerAdapter(loader: BundleLoader): Promise<void> {
  if (!loader.setAdapter) return;
  const adapter = await findAdapter();
  if (!adapter) throw new CliperError('device-unavailable', `There is no WebGPU adapter${ADVICE}`);
  const { name, isSoftware } = describeAdapter(adapter);
  loader.setAdapter(name, isSoftware);
}

/** Whether every pixel is clear. */
function isBlank({ data }: ImageData): boolean {
  for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] !== 0) return false;
  return true;
}

function given<T>(value: T | undefined): T {
  if (value === undefined)
    throw new CliperError('worker-failed', 'The engine is not open yet: call load, add and open first.');
  return value;
}
