// What the visitor chose, kept in the page's address, so that a reload or a link shows the same.

export interface Settings {
  device: 'auto' | 'webgpu' | 'cpu';
  /** Address of a bundle's model.json; '' is the built-in model. */
  model: string;
  /** Find the faces, or look at the centre square as one. */
  faces: boolean;
  /** Show the camera as a mirror does. */
  mirror: boolean;
  /** Seconds in which bars move 63 % of the way to the newest scores. */
  smoothing: number;
  /** The score below which an expression is called uncertain; NaN leaves it to the bundle. */
  threshold: number;
  /** Looks a second. */
  rate: number;
  /** How much of each expression's share among training faces scores leave out. */
  balance: number;
  /** Sentences that faces are compared with, one a line. */
  words: string;
  /** The visitor's own expressions, as vocabulary-address.ts writes them; '' are the model's. */
  expressions: string;
}

const DEFAULTS: Readonly<Settings> = {
  device: 'auto',
  model: '',
  faces: true,
  mirror: true,
  smoothing: 0.2,
  threshold: Number.NaN,
  rate: 8,
  balance: 0,
  words: '',
  expressions: '',
};

type Key = keyof Settings;

/** The settings, told to whoever depends on one. */
export class SettingsStore {
  readonly #values: Settings = { ...DEFAULTS };
  readonly #listeners = new Map<Key, (() => void)[]>();

  constructor() {
    const asked = new URLSearchParams(location.search);
    for (const key of Object.keys(DEFAULTS) as Key[]) {
      const text = asked.get(key);
      if (text !== null) Object.assign(this.#values, { [key]: read(text, DEFAULTS[key]) });
    }
  }

  get<K extends Key>(key: K): Settings[K] {
    return this.#values[key];
  }

  set<K extends Key>(key: K, value: Settings[K]): void {
    if (Object.is(this.#values[key], value)) return;
    this.#values[key] = value;
    this.#write(key, String(value), Object.is(value, DEFAULTS[key]));
    for (const run of this.#listeners.get(key) ?? []) run();
  }

  onChange(key: Key, run: () => void, signal?: AbortSignal): void {
    const listeners = this.#listeners.get(key) ?? [];
    listeners.push(run);
    this.#listeners.set(key, listeners);
    signal?.addEventListener('abort', () => listeners.splice(listeners.indexOf(run), 1), { once: true });
  }

  /** Only what differs from the default stands in the address. */
  #write(key: Key, text: string, isDefault: boolean): void {
    const address = new URL(location.href);
    if (isDefault) address.searchParams.delete(key);
    else address.searchParams.set(key, text);
    history.replaceState(null, '', address);
  }
}

/** A value of the default's kind; a number that is none is the default. */
function read(text: string, value: string | number | boolean): string | number | boolean {
  if (typeof value === 'boolean') return text === 'true';
  if (typeof value === 'string') return text;
  return Number.isFinite(Number(text)) ? Number(text) : value;
}
