// Teaching an expression: a few frames of a face at rest and of the expression, learned from on this device.

import { CliperError } from '../src/index.js';
import { byId, setText } from './dom.js';
import { figuresOf, type Taught } from './expressions.js';
import { recognizer, settings, stage } from './page.js';
import { explain, fill, strings } from './strings.js';

/** Frames of either kind, and milliseconds from one to the next: two seconds in all. */
const FRAMES = 10;
const APART = 200;

type Kind = 'neutral' | 'shown';

export function connectTeaching(expressions: Taught): void {
  const name = byId('taught-name', HTMLInputElement);
  const learn = byId('learn', HTMLButtonElement);
  const cancel = byId('learn-cancel', HTMLButtonElement);
  const progress = byId('learn-progress', HTMLProgressElement);
  const records = {
    neutral: byId('record-neutral', HTMLButtonElement),
    shown: byId('record-shown', HTMLButtonElement),
  };
  /** They stay in this page's memory, and no longer than what they are of is shown. */
  const frames: Record<Kind, ImageBitmap[]> = { neutral: [], shown: [] };
  let running: AbortController | undefined;

  const say = (sentence: string): void => setText('teach-note', sentence);
  const forget = (kind: Kind): void => {
    for (const frame of frames[kind].splice(0)) frame.close();
  };
  const moves = (): boolean => stage.shows === 'camera' || stage.shows === 'film';

  const update = (): void => {
    if (!running && !moves()) for (const kind of ['neutral', 'shown'] as const) forget(kind);
    for (const kind of ['neutral', 'shown'] as const) {
      records[kind].disabled = running !== undefined || !moves();
      const count = frames[kind].length;
      setText(`${kind}-count`, count === 0 ? '' : fill(strings.framesOf, { count, total: FRAMES }));
    }
    const isWhole = frames.neutral.length === FRAMES && frames.shown.length === FRAMES;
    learn.disabled = running !== undefined || !isWhole;
    byId('teach-source', HTMLElement).hidden = moves();
  };

  /** One thing at a time, until it is done, given up, or what it looks at ends. */
  const run = async (button: HTMLButtonElement, work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    const hadFocus = document.activeElement === button;
    running = new AbortController();
    const { signal } = running;
    say('');
    update();
    try {
      await work(signal);
    } catch (error) {
      if (!signal.aborted) say(isFaceless(error) ? strings.teachNoFace : explain(error));
    } finally {
      running = undefined;
      update();
      // A button that can't be pressed for a while loses the keyboard's place.
      if (hadFocus && document.activeElement === document.body) (button.disabled ? name : button).focus();
    }
  };

  const record = (kind: Kind) => async (signal: AbortSignal) => {
    forget(kind);
    const { video } = stage;
    if (stage.shows === 'film') await video.play();
    records[kind].classList.add('is-recording');
    try {
      while (frames[kind].length < FRAMES) {
        await new Promise((resolve) => setTimeout(resolve, APART));
        if (signal.aborted) return;
        // What shows no face teaches nothing: it waits for one.
        say(stage.seesFace ? '' : strings.hint);
        if (stage.seesFace) frames[kind].push(await createImageBitmap(video));
        update();
      }
      say(kind === 'neutral' ? strings.neutralRecorded : strings.shownRecorded);
    } finally {
      records[kind].classList.remove('is-recording');
      if (stage.shows === 'film') video.pause();
    }
  };

  const teach = async (signal: AbortSignal): Promise<void> => {
    const asked = name.value.trim();
    const problem = asked === '' ? strings.nameMissing : expressions.refuse(asked);
    if (problem !== undefined) {
      say(problem);
      name.focus();
      return;
    }
    progress.value = 0;
    progress.hidden = cancel.hidden = false;
    try {
      const engine = await recognizer.get();
      const taught = await engine.teach(asked, frames, {
        faces: settings.get('faces'),
        signal,
        onProgress: ({ done, total }) => (progress.value = done / total),
      });
      if (!(await expressions.add(taught))) return;
      // The face at rest serves the next expression too.
      forget('shown');
      name.value = '';
      say(`${fill(strings.learned, { name: taught.name })} ${figuresOf(taught)}`);
    } finally {
      progress.hidden = cancel.hidden = true;
    }
  };

  for (const kind of ['neutral', 'shown'] as const) {
    records[kind].addEventListener('click', () => void run(records[kind], record(kind)));
  }
  learn.addEventListener('click', () => void run(learn, teach));
  cancel.addEventListener('click', () => running?.abort());
  const files = byId('taught-files', HTMLInputElement);
  files.addEventListener('change', () => {
    expressions.open([...(files.files ?? [])]);
    files.value = '';
  });
  stage.onShow.push(() => {
    // Learning needs no camera any more, recording does.
    if (!moves() && progress.hidden) running?.abort();
    update();
  });
  update();
}

/** With a name and enough frames, a face is all that a lesson may lack. */
function isFaceless(error: unknown): boolean {
  return error instanceof CliperError && error.code === 'invalid-argument';
}
