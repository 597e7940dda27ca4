// Frames -> answers: one frame in flight, the rest dropped, never queued.

import { CliperError } from '../shared/errors.js';
import type { StreamStats } from '../shared/types.js';
import { StartOver } from './device-loss.js';
import type { Pace } from './frame-scheduler.js';

/** Where frames come from. Calls `onFrame` for each with its time in milliseconds; returns how to stop. */
export type FrameSource = (onFrame: (timestamp: number) => void, onEnd: (error?: CliperError) => void) => () => void;

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

const DONE = { done: true, value: undefined } as const;

/** Asks for an answer only while one is waited for: a slow consumer slows the pump, and nothing piles up. */
export class Pump<T> implements AsyncIterableIterator<T> {
  readonly #waiters: Waiter<T>[] = [];
  readonly #rate = new Rate();
  #stopSource: (() => void) | undefined;
  #isBusy = false;
  #isEnded = false;
  #error: unknown;
  #seen = 0;
  #answered = 0;
  #dropped = 0;
  #skipped = 0;

  /**
   * `send` takes the frame that is shown now. An aborted `signal` ends the pump as `stop` does. Without a `pace`, every
   * frame that finds the worker free is sent.
   */
  constructor(
    private readonly source: FrameSource,
    private readonly send: (timestamp: number) => Promise<T>,
    private readonly signal: AbortSignal,
    private readonly pace?: Pace,
    /** Called once, when it has ended for whatever reason and no frame is on its way any more. */
    private readonly onEnd?: () => void,
  ) {
    signal.addEventListener('abort', this.stop, { once: true });
  }

  get stats(): StreamStats {
    const fps = this.#rate.perSecond();
    return { seen: this.#seen, answered: this.#answered, dropped: this.#dropped, skipped: this.#skipped, fps };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#isEnded) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#stopSource ??= this.source(
        (timestamp) => void this.#take(timestamp),
        (error) => this.#end(error),
      );
      // A source that ended while it started.
      if (this.#isEnded) this.#stopSource();
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.stop();
    return Promise.resolve(DONE);
  }

  readonly stop = (): void => this.#end();

  async #take(timestamp: number): Promise<void> {
    if (this.#isEnded) return;
    this.#seen += 1;
    if (this.#isBusy || this.#waiters.length === 0) {
      this.#dropped += 1;
      return;
    }
    if (this.pace?.isDue(performance.now()) === false) {
      this.#skipped += 1;
      return;
    }
    this.#isBusy = true;
    try {
      this.pace?.send(performance.now());
      const value = await this.send(timestamp);
      this.pace?.answer(performance.now());
      if (this.#isEnded) return;
      this.#answered += 1;
      this.#rate.add();
      this.#waiters.shift()?.resolve({ done: false, value });
    } catch (error) {
      // The device was lost and the next one is open: this frame was not read, the next one will be.
      if (error instanceof StartOver) this.#dropped += 1;
      else this.#end(error);
    } finally {
      this.#isBusy = false;
      if (this.#isEnded) this.onEnd?.();
    }
  }

  #end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#stopSource?.();
    if (!this.#isBusy) this.onEnd?.();
    this.signal.removeEventListener('abort', this.stop);
    const [first, ...rest] = this.#waiters.splice(0);
    if (error === undefined) first?.resolve(DONE);
    else if (first) first.reject(error);
    else this.#error = error;
    for (const { resolve } of rest) resolve(DONE);
  }
}

/** Events a second, over the last two seconds. */
class Rate {
  #times: number[] = [];

  add(): void {
    this.#times = [...this.#recent(), performance.now()];
  }

  perSecond(): number {
    const times = this.#recent();
    const first = times[0];
    const last = times.at(-1);
    return first === undefined || last === undefined || last === first
      ? 0
      : ((times.length - 1) * 1000) / (last - first);
  }

  #recent(): number[] {
    const since = performance.now() - 2000;
    return this.#times.filter((time) => time >= since);
  }
}

/**
 * Milliseconds from one look at the video itself to the next: no event tells of a track that the page stops itself, and
 * WebKitGTK without compositing takes frame callbacks and calls none.
 */
const WATCH = 250;

/** Whether a camera will give no more frames: turned off, unplugged, or taken out of the stream. */
function isOver({ srcObject }: HTMLVideoElement): boolean {
  if (!srcObject || !('getVideoTracks' in srcObject)) return false;
  return srcObject.getVideoTracks().every(({ readyState }) => readyState === 'ended');
}

/**
 * Frames of a video as they are shown; none while the page is hidden. Ends with the video or its source. A film's times
 * are its own, so that they mean the same at any speed; a camera's are the page's clock.
 */
export function videoFrames(video: HTMLVideoElement): FrameSource {
  return (onFrame, onEnd) => {
    let handle = 0;
    let lastTime = -1;
    const byVideo = 'requestVideoFrameCallback' in video;
    const ask = (): void => {
      handle = byVideo ? video.requestVideoFrameCallback(show) : requestAnimationFrame(show);
    };
    let calls = 0;
    const show = (now: number, metadata?: VideoFrameCallbackMetadata): void => {
      ask();
      calls++;
      take(now, metadata);
    };
    const take = (now: number, metadata?: VideoFrameCallbackMetadata): void => {
      const isCamera = video.srcObject !== null;
      // A frame may be shown twice: the display's rate is not the video's, and a paused film is painted anew. Of a
      // camera only the callback of the video's own tells, and browsers do not agree on its media time.
      const time = metadata && !isCamera ? metadata.mediaTime : video.currentTime;
      const isNew = time !== lastTime || (metadata !== undefined && isCamera);
      lastTime = time;
      if (isNew && !document.hidden && video.readyState >= video.HAVE_CURRENT_DATA)
        onFrame(isCamera ? now : time * 1000);
    };
    const end = (): void => onEnd();
    const fail = (): void => {
      const why = video.error?.message || 'it can not be played';
      onEnd(new CliperError('video-failed', `The video failed (${why}): give it a source that this browser plays.`));
    };
    video.addEventListener('ended', end);
    video.addEventListener('emptied', end);
    video.addEventListener('error', fail);
    let seen = { calls: -1, time: video.currentTime };
    const watch = setInterval(() => {
      if (isOver(video)) return end();
      if (calls === seen.calls && video.currentTime !== seen.time) take(performance.now());
      seen = { calls, time: video.currentTime };
    }, WATCH);
    if (video.error) fail();
    else if (video.ended || isOver(video)) end();
    else ask();
    return () => {
      clearInterval(watch);
      if (byVideo) video.cancelVideoFrameCallback(handle);
      else cancelAnimationFrame(handle);
      video.removeEventListener('ended', end);
      video.removeEventListener('emptied', end);
      video.removeEventListener('error', fail);
    };
  };
}
