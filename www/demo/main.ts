// The page: one source at a time (camera, picture or film), one recognizer, every error a sentence in place.

import { CliperError, notice } from '../src/index.js';
import { showCamera } from './camera.js';
import { showCard } from './card.js';
import { connectControls, takeModel } from './controls.js';
import { byId, setText } from './dom.js';
import { isDeclined } from './download.js';
import { connectExpressions } from './expressions.js';
import { showFilm } from './film.js';
import { keepOffline } from './offline.js';
import { connectFiles } from './open-files.js';
import { facts, firstReady, loading, problem, recognizer, result, settings, stage, timeline } from './page.js';
import { showPicture } from './picture.js';
import { countRequests } from './requests.js';
import { explain, language, strings, translate } from './strings.js';
import { connectTeaching } from './teach.js';
import { connectWords } from './words.js';

/** Ends whatever is shown now, when something else is chosen. */
let current = new AbortController();
/** Shows the same anew, when faces are found in it or no longer, or another model looks at it. */
let again: (() => void) | undefined;

const cameraButton = byId('camera', HTMLButtonElement);

/** Starts showing something else: what was shown before ends, and so does its error. */
async function begin(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  stop();
  const { signal } = current;
  again = () => void begin(run);
  try {
    await run(signal);
  } catch (error) {
    if (!signal.aborted) await complain(error);
  }
}

function stop(): void {
  current.abort();
  current = new AbortController();
  again = undefined;
  problem(undefined);
  stage.show('nothing');
  result.clear();
  facts.clear();
  timeline.hide();
}

/** What depends on what is shown. */
function showSource(): void {
  const { shows } = stage;
  setText('camera', shows === 'camera' ? strings.stop : strings.start);
  result.still(shows === 'picture');
  if (shows !== 'camera') byId('camera-choice', HTMLElement).hidden = true;
}

async function complain(error: unknown): Promise<void> {
  // Another model or device was chosen while this one started.
  if (error instanceof CliperError && error.code === 'aborted') return;
  loading.stop();
  problem(isDeclined(error) ? strings.declined : explain(error));
  if (!(error instanceof CliperError)) throw error;
  if (error.code === 'engine-panicked' || error.code === 'worker-failed') recognizer.drop();
}

/** The model and the device that the settings name, at once, for what is shown and for what will be. */
function renew(): void {
  if (again) again();
  else {
    problem(undefined);
    recognizer.get().catch(complain);
  }
}

/** What stands still is looked at once more; a camera's stream turns by itself. */
function lookAgain(): void {
  if (stage.shows !== 'camera') again?.();
}

/** A sample comes while the page loads, so that showing it asks nothing of the network. */
function connectSample(
  id: string,
  name: string,
  show: (file: Blob, signal: AbortSignal) => Promise<void>,
): Promise<unknown> {
  const file = fetch(new URL(name, document.baseURI)).then((response) => response.blob());
  file.catch(() => {});
  byId(id, HTMLButtonElement).addEventListener('click', () => void begin(async (signal) => show(await file, signal)));
  return file;
}

function connectNotice(): void {
  const text = notice(language);
  setText('notice', text);
  byId('copy-notice', HTMLButtonElement).addEventListener('click', () => {
    void navigator.clipboard.writeText(text).then(() => setText('copy-notice', strings.copied), complain);
  });
}

translate();
stage.onShow.push(showSource);
connectControls(renew, lookAgain);
connectWords(lookAgain);
const expressions = connectExpressions(lookAgain);
connectTeaching(expressions);
connectNotice();
connectFiles({
  picture: (file) => void begin((signal) => showPicture(file, signal)),
  film: (file) => void begin((signal) => showFilm(file, signal)),
  model: (files) => takeModel(files, renew),
  expressions: (files) => expressions.open(files),
});
const samples = [
  connectSample('sample', 'portrait.jpg', showPicture),
  connectSample('sample-film', 'portrait.webm', showFilm),
];
showCard(byId('card', HTMLAnchorElement), byId('card-dialog', HTMLDialogElement));
cameraButton.addEventListener('click', () => (stage.shows === 'camera' ? stop() : void begin(showCamera)));
byId('cameras', HTMLSelectElement).addEventListener('change', () => void begin(showCamera));
settings.onChange('faces', lookAgain);

// The model loads at once, so that the first answer comes at once; the camera waits to be asked for.
recognizer.get().catch(complain);
void firstReady.then(async () => {
  const isKept = await keepOffline((take) => {
    byId('update', HTMLElement).hidden = false;
    byId('reload', HTMLButtonElement).onclick = take;
  });
  if (isKept) setText('installed', strings.installed);
  await Promise.allSettled(samples);
  countRequests((count) => setText('requests', `${count}`));
});
