// The parts of the page, each made once.

import type { BundleFiles, CreateOptions, RecognizerInfo } from '../src/index.js';
import { CurrentRecognizer, type Recognizer } from './current-recognizer.js';
import { byId } from './dom.js';
import { countedFetch } from './download.js';
import { Facts } from './facts.js';
import { Loading } from './loading.js';
import { Result } from './result.js';
import { SettingsStore } from './settings.js';
import { Stage } from './stage.js';
import { Timeline } from './timeline.js';

export const settings = new SettingsStore();
export const stage = new Stage();
export const result = new Result();
export const facts = new Facts();
export const timeline = new Timeline();
export const loading = new Loading();

/** A bundle from the visitor's own files goes before the address in the settings. */
export const ownModel: { files: BundleFiles | undefined } = { files: undefined };

let isReady: () => void;
/** Resolves when a model was ready for the first time. */
export const firstReady = new Promise<void>((resolve) => (isReady = resolve));

/** Called with every model that is ready. */
export const onReady: ((recognizer: Recognizer) => void)[] = [];

export const recognizer = new CurrentRecognizer(
  () => {
    loading.start();
    const model = ownModel.files ?? settings.get('model');
    const options: CreateOptions = {
      device: settings.get('device'),
      fetch: countedFetch(
        (loaded, total) => loading.size(loaded, total),
        (bytes) => loading.ask(bytes),
      ),
      onProgress: (progress) => loading.progress(progress),
    };
    return model === '' ? options : { ...options, model };
  },
  (ready) => {
    const { info } = ready;
    facts.info(info);
    result.expressions(info.expressions);
    bundleThreshold = info.uncertainBelow;
    byId('threshold', HTMLInputElement).dispatchEvent(new Event('bundle'));
    isReady();
    for (const run of onReady) run(ready);
  },
);

let bundleThreshold: number | undefined;

/** The score below which an expression is called uncertain: the visitor's, or the bundle's. */
export function threshold(): number {
  const asked = settings.get('threshold');
  return Number.isNaN(asked) ? (bundleThreshold ?? 0) : asked;
}

/** Whose scores a time-line draws. */
export function drawn({ model, expressions }: RecognizerInfo): {
  model: string;
  expressions: string[];
  colours: string[];
} {
  return { model, expressions, colours: result.colours };
}

/** A sentence in place, or nothing. */
export function problem(sentence: string | undefined): void {
  const place = byId('problem', HTMLElement);
  place.hidden = sentence === undefined;
  place.textContent = sentence ?? '';
}
