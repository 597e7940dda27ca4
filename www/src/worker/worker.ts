// The module worker: takes calls from the page and runs them on the engine, one after the other.

import { isDeviceFault, isPanic, toCliperError } from '../shared/errors.js';
import type { AnswerTo, Kind, Request, ToPage, ToWorker } from '../shared/protocol.js';
import { checkVersion, VERSION } from '../shared/version.js';
import { Engine } from './engine.js';

const engine = new Engine();
/** Calls that have not begun; a cancelled one is taken out. */
const waiting = new Set<number>();
let last: Promise<void> = Promise.resolve();
let onPanic: ((panic: unknown) => void) | undefined;

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === 'cancel') {
    waiting.delete(data.id);
    return;
  }
  waiting.add(data.id);
  last = last.then(() => answer(data));
});

// A panic inside a Rust future traps in a microtask of its own: the call's promise never settles, so it is caught here.
self.addEventListener('unhandledrejection', (event) => {
  if (!isPanic(event.reason)) return;
  event.preventDefault();
  onPanic?.(event.reason);
});
self.addEventListener('error', (event) => {
  if (!isPanic(event.error)) return;
  event.preventDefault();
  onPanic?.(event.error);
});

async function answer(call: Exclude<ToWorker, { kind: 'cancel' }>): Promise<void> {
  const { id } = call;
  // The page has given a cancelled call its answer already. Its picture is not left to be collected some day.
  if (!waiting.delete(id)) return letGo(call.request);
  try {
    checkVersion('The page', call.version);
    const panic = new Promise<never>((_, reject) => (onPanic = reject));
    post({ id, version: VERSION, answer: await Promise.race([run(call.kind, call.request), panic]) });
  } catch (thrown) {
    const { code, message } = toCliperError(thrown);
    const frame = engine.takeFrame();
    const error = { code, message };
    if (frame && isDeviceFault(error)) post({ id, version: VERSION, error, frame }, [frame.data.buffer]);
    else post({ id, version: VERSION, error });
  }
}

function run<K extends Kind>(kind: K, request: Request<K>): AnswerTo<K> | Promise<AnswerTo<K>> {
  const method = engine[kind] as (request: Request<K>) => AnswerTo<K> | Promise<AnswerTo<K>>;
  return method.call(engine, request);
}

function letGo(request: Request<Kind>): void {
  const bitmap = request && 'bitmap' in request ? request.bitmap : undefined;
  if (bitmap && 'close' in bitmap) bitmap.close();
}

function post(message: ToPage, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}
