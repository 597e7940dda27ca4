// The settings' own controls: each shows its setting, and changes it.

import type { Recognizer } from './current-recognizer.js';
import { byId, setText } from './dom.js';
import { onReady, ownModel, problem, recognizer, settings, stage, threshold } from './page.js';
import { explain, fill, language, strings } from './strings.js';

/** `onRenew` is called when another model or device was chosen, `again` when what stands still is to be looked at once more. */
export function connectControls(onRenew: () => void, again: () => void): void {
  const renew = (): void => {
    recognizer.drop();
    onRenew();
  };
  connectSwitch('find-faces', 'faces');
  connectSwitch('mirror', 'mirror');
  const mirror = (): void => stage.mirror(settings.get('mirror'));
  settings.onChange('mirror', mirror);
  mirror();
  connectSliders();
  connectBalance(again);
  connectDevice(renew);
  connectModel(renew);
  connectLanguages();
}

/** Takes a bundle's files as the model. */
export function takeModel(files: readonly File[], onRenew: () => void): void {
  ownModel.files = files;
  byId('model', HTMLSelectElement).value = 'files';
  showModelFields();
  recognizer.drop();
  onRenew();
}

function connectSwitch(id: string, key: 'faces' | 'mirror'): void {
  const input = byId(id, HTMLInputElement);
  input.checked = settings.get(key);
  input.addEventListener('change', () => settings.set(key, input.checked));
}

function connectSliders(): void {
  const sliders = [
    ['smoothing', 'smoothing', () => settings.get('smoothing'), (value: number) => fill(strings.seconds, { value })],
    ['threshold', 'threshold', threshold, (value: number) => value.toFixed(2)],
    ['rate-choice', 'rate', () => settings.get('rate'), String],
    ['balance', 'balance', () => settings.get('balance'), (value: number) => value.toFixed(2)],
  ] as const;
  for (const [id, key, get, say] of sliders) {
    const input = byId(id, HTMLInputElement);
    const show = (): void => {
      input.value = `${get()}`;
      setText(`${key}-value`, say(get()));
    };
    // A stream begins anew with another rate: that waits until the slider is left alone.
    const event = key === 'rate' || key === 'balance' ? 'change' : 'input';
    input.addEventListener('input', () => setText(`${key}-value`, say(input.valueAsNumber)));
    input.addEventListener(event, () => settings.set(key, input.valueAsNumber));
    // Another bundle may have another threshold.
    input.addEventListener('bundle', show);
    show();
  }
}

/** Scores follow at the next frame. A bundle that does not say its shares can't be balanced, and says so. */
function connectBalance(again: () => void): void {
  const apply = async (engine: Recognizer): Promise<void> => {
    try {
      await engine.setOptions({ balance: settings.get('balance') });
      again();
    } catch (error) {
      problem(explain(error));
    }
  };
  settings.onChange('balance', () => void recognizer.get().then(apply, () => {}));
  onReady.push((engine) => settings.get('balance') > 0 && void apply(engine));
}

function connectDevice(renew: () => void): void {
  const select = byId('device-choice', HTMLSelectElement);
  select.value = settings.get('device');
  select.addEventListener('change', () => settings.set('device', select.value as 'auto' | 'webgpu' | 'cpu'));
  settings.onChange('device', renew);
}

function connectModel(renew: () => void): void {
  const select = byId('model', HTMLSelectElement);
  const files = byId('model-files', HTMLInputElement);
  const address = byId('model-address', HTMLInputElement);
  select.value = settings.get('model') === '' ? '' : 'address';
  address.value = settings.get('model');
  showModelFields();
  select.addEventListener('change', () => {
    showModelFields();
    if (select.value !== '') return;
    const hadFiles = ownModel.files !== undefined;
    ownModel.files = undefined;
    if (settings.get('model') !== '') settings.set('model', '');
    else if (hadFiles) renew();
  });
  files.addEventListener('change', () => {
    // The input's own list empties with it.
    const chosen = [...(files.files ?? [])];
    files.value = '';
    if (chosen.length > 0) takeModel(chosen, renew);
  });
  byId('model-address-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    ownModel.files = undefined;
    if (settings.get('model') === address.value) renew();
    else settings.set('model', address.value);
  });
  settings.onChange('model', renew);
}

function showModelFields(): void {
  const { value } = byId('model', HTMLSelectElement);
  byId('model-files-field', HTMLElement).hidden = value !== 'files';
  byId('model-files', HTMLInputElement).hidden = value !== 'files';
  byId('model-address-form', HTMLElement).hidden = value !== 'address';
}

/** Another language is the same page in the same state. */
function connectLanguages(): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>('nav a')) {
    const own = new URL(link.href).searchParams.get('lang') ?? 'en';
    if (own === language) link.setAttribute('aria-current', 'true');
    link.addEventListener('click', () => {
      const address = new URL(location.href);
      address.searchParams.set('lang', own);
      link.href = address.href;
    });
  }
  setText('requests', strings.gettingThere);
}
