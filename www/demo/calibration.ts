// A person's neutral face, looked at for three seconds and taken out of later answers; nobody's until it is asked for.

import { CliperError } from '../src/index.js';
import type { Recognizer } from './current-recognizer.js';
import { byId, setText } from './dom.js';
import { explain, fill, strings } from './strings.js';

const SECONDS = 3;

const place = byId('calibration', HTMLElement);
const start = byId('calibrate', HTMLButtonElement);
const reset = byId('calibration-reset', HTMLButtonElement);

/** Offers it for a stream, until the signal aborts. What it returns is called when nobody is seen any more. */
export function offerCalibration(engine: Recognizer, ended: AbortSignal): () => void {
  let running: AbortController | undefined;
  let isKnown = false;
  const show = (note: string): void => {
    setText('calibrate', running ? strings.cancel : strings.calibrate);
    setText('calibration-note', note);
    reset.hidden = !isKnown;
  };

  const calibrate = async (): Promise<void> => {
    running = new AbortController();
    const signal = AbortSignal.any([ended, running.signal]);
    let left = SECONDS;
    const count = (): void => show(fill(strings.calibrating, { seconds: left-- }));
    count();
    const counting = setInterval(() => left > 0 && count(), 1000);
    let note = '';
    try {
      const known = await engine.calibrate({ seconds: SECONDS, signal });
      isKnown = true;
      note = known === 1 ? strings.calibratedOne : fill(strings.calibrated, { count: known });
    } catch (error) {
      if (!signal.aborted) note = isNobody(error) ? strings.calibratedNobody : explain(error);
    }
    clearInterval(counting);
    running = undefined;
    if (!ended.aborted) show(note);
  };

  const forget = (note: string): void => {
    isKnown = false;
    show(note);
  };

  const until = { signal: ended };
  start.addEventListener('click', () => (running ? running.abort() : void calibrate()), until);
  reset.addEventListener(
    'click',
    () => {
      forget(strings.calibrationGone);
      start.focus();
      engine.reset().catch((error: unknown) => show(explain(error)));
    },
    until,
  );
  ended.addEventListener('abort', () => {
    running = undefined;
    place.hidden = true;
    forget('');
  });
  show('');
  place.hidden = false;
  return () => isKnown && !running && forget('');
}

/** Nobody was seen while it lasted. */
function isNobody(error: unknown): boolean {
  return error instanceof CliperError && error.code === 'invalid-argument';
}
