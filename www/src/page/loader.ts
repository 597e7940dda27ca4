// Addresses -> bytes: fetching with a reason for every failure, the bundle's files, and their cache.

import { CliperError } from '../shared/errors.js';
import { sha256 } from '../shared/hash.js';
import type { EngineOptions } from '../shared/types.js';
import { inWords } from '../shared/values.js';
import { abortable, abortedBy, throwIfAborted } from './abort.js';

export type Fetch = (url: URL, options: { signal: AbortSignal; cache?: 'reload' }) => Promise<Response>;

/** A file of a bundle, as the manifest lists it. */
export interface BundleFile {
  path: string;
  bytes: number;
  sha256: string;
  role?: string;
}

/** A file's bytes, and their SHA-256 in hexadecimal where the browser computes it. */
export interface FileBytes {
  bytes: Uint8Array<ArrayBuffer>;
  sha256: string | undefined;
}

const CACHE = 'cliper';
/** Bytes of a manifest: the built-in one has 135,000. */
const MOST_MANIFEST = 2 ** 24;
/** Bytes of files that are fetched before their turn: of a model of many shards a page never holds more. */
const AHEAD = 2 ** 25;

export const globalFetch: Fetch = (url, options) => fetch(url, options);

/** The address as a URL, as the page or worker that asks would resolve it. */
export function toUrl(address: string | URL): URL {
  try {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (cause) {
    throw new CliperError(
      'invalid-argument',
      `'${nameOf(address)}' is no address: give a URL, absolute or relative to the page.`,
      { cause },
    );
  }
}

/** Fetches, and turns every way to fail into a code. */
export async function fetchOk(url: URL, fetch: Fetch, signal: AbortSignal, cache?: 'reload'): Promise<Response> {
  throwIfAborted(signal);
  if (url.protocol === 'data:') return readDataUrl(url);
  let response: Response;
  try {
    response = await abortable(fetch(url, { signal, ...(cache && { cache }) }), signal);
  } catch (cause) {
    if (signal.aborted) throw abortedBy(signal);
    throw new CliperError(
      'network',
      `${nameOf(url)} could not be fetched: check the connection, the address, and that the page's Content-Security-Policy has it in connect-src; then try again.`,
      { cause },
    );
  }
  if (response.status === 404 || response.status === 410) {
    throw new CliperError(
      'missing-file',
      `${nameOf(url)} does not exist (HTTP ${response.status}): check the address and that every file was uploaded.`,
    );
  }
  if (!response.ok) {
    throw new CliperError(
      'network',
      `${nameOf(url)} answered with HTTP ${response.status}: check the server, then try again.`,
    );
  }
  return response;
}

/** Fetches a file of the engine's or a bundle's; a web page in its place is said to be one. */
async function fetchFile(url: URL, fetch: Fetch, signal: AbortSignal, cache?: 'reload'): Promise<Response> {
  const response = await fetchOk(url, fetch, signal, cache);
  if (!response.headers.get('content-type')?.startsWith('text/html')) return response;
  throw new CliperError(
    'missing-file',
    `${nameOf(url)} is a web page and not the file: copy the package's dist to your site and name it, create({ assets: '/cliper/' }). Vite up to 7 needs \`optimizeDeps: { exclude: ['cliper'] }\` instead.`,
  );
}

/** An address for people: a data: URL is a whole file. */
export function nameOf(address: string | URL): string {
  const text = inWords(address);
  return text.startsWith('data:') && text.length > 60 ? `${text.slice(0, 40)}...` : text;
}

/**
 * The file in a data: URL, which bundlers make of small files. It is here already: a page whose policy forbids to fetch
 * such addresses can still read it.
 */
function readDataUrl(url: URL): Response {
  const comma = url.href.indexOf(',');
  const [type = '', ...words] = url.href.slice('data:'.length, comma).split(';');
  const data = url.href.slice(comma + 1);
  try {
    const bytes = words.includes('base64')
      ? Uint8Array.from(atob(decodeURIComponent(data)), (letter) => letter.charCodeAt(0))
      : fromPercents(data);
    return new Response(bytes, { headers: { 'content-type': type || 'text/plain' } });
  } catch (cause) {
    throw new CliperError('network', `${nameOf(url)} is no readable data: URL: give the file's own address.`, {
      cause,
    });
  }
}

/** Bytes of which some are written as %xx. */
function fromPercents(text: string): Uint8Array<ArrayBuffer> {
  const plain = text.replace(/%([0-9a-f]{2})/gi, (_, byte: string) => String.fromCharCode(parseInt(byte, 16)));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** A response's bytes, telling `onBytes` how many are here. Of one that has more than `most` no more is read: it is not what it should be. */
export async function readBytes(
  response: Response,
  url: URL,
  signal: AbortSignal,
  most = Infinity,
  onBytes?: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    if (!response.body) return new Uint8Array(await response.arrayBuffer());
    const pieces: Uint8Array[] = [];
    const reader = response.body.getReader();
    for (let here = 0; here <= most; ) {
      const { done, value } = await reader.read();
      if (done) return join(pieces);
      pieces.push(value);
      onBytes?.((here += value.byteLength));
    }
    await reader.cancel();
    return join(pieces);
  } catch (cause) {
    if (signal.aborted) throw abortedBy(signal);
    throw new CliperError('network', `${nameOf(url)} broke off half way: check the connection, then try again.`, {
      cause,
    });
  }
}

export interface DownloadOptions {
  fetch: Fetch;
  signal: AbortSignal;
  /** Keep files in Cache Storage, and look there first. */
  cache: boolean;
  /** Files that lie elsewhere than beside the manifest, by name. */
  addresses?: ReadonlyMap<string, URL>;
  /** The label set that is answered in; the bundle's own expressions without one. */
  labels?: string | undefined;
  /** Called with the part (0..1) of the bundle's bytes that is here. */
  onProgress?: (fraction: number) => void;
}

/** Engines that were compiled, by address: a page that compiles one anew keeps the bytes of each, 0.8 MB a recognizer. */
const compiled = new Map<string, WebAssembly.Module>();

/** An engine, the same for every recognizer of a page; fetched anew where the page fetches in its own way, or keeps nothing. */
export async function loadWasm(
  url: URL,
  { fetch = globalFetch, cache = true }: Pick<EngineOptions, 'fetch' | 'cache'>,
  signal: AbortSignal,
): Promise<WebAssembly.Module> {
  if (!cache || fetch !== globalFetch) return fetchWasm(url, fetch, signal);
  const wasm = compiled.get(url.href) ?? (await fetchWasm(url, fetch, signal));
  compiled.set(url.href, wasm);
  return wasm;
}

/** An engine, compiled while it arrives where the server names the type; the browser then keeps the machine code too. */
async function fetchWasm(url: URL, fetch: Fetch, signal: AbortSignal): Promise<WebAssembly.Module> {
  const response = await fetchFile(url, fetch, signal);
  const isStreamed = response.headers.get('content-type') === 'application/wasm';
  try {
    if (isStreamed) return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(await readBytes(response, url, signal));
  } catch (cause) {
    if (signal.aborted) throw abortedBy(signal);
    if (cause instanceof CliperError) throw cause;
    if (cause instanceof WebAssembly.CompileError && /content.security.policy|unsafe-eval/i.test(cause.message)) {
      throw new CliperError(
        'worker-failed',
        "The page's Content-Security-Policy does not let it start WebAssembly: add `'wasm-unsafe-eval'` to script-src.",
        { cause },
      );
    }
    if (cause instanceof WebAssembly.CompileError) {
      throw new CliperError(
        'damaged-file',
        `${nameOf(url)} is not the engine (${cause.message}): serve the file of this version, whole.`,
        { cause },
      );
    }
    throw new CliperError('network', `${nameOf(url)} broke off half way: check the connection, then try again.`, {
      cause,
    });
  }
}

/** A bundle's text side: the names of its two files, what the manifest says of them, and where they come from. */
export interface TextSide {
  weights: string;
  tokenizer: string;
  files: readonly BundleFile[];
  download: BundleDownload;
}

/** A bundle on its way: the manifest's text, then file after file. */
export class BundleDownload {
  /** The manifest's text; the engine judges it. */
  readonly manifest: string;
  /** Files to fetch. Empty if the manifest can't be read: the engine then says what is wrong with it. */
  readonly files: readonly BundleFile[];
  readonly #url: URL;
  readonly #options: DownloadOptions;
  readonly #reads = new Map<BundleFile, Promise<FileBytes>>();
  /** Files that were fetched before their turn, until they are read. */
  readonly #ahead = new Map<BundleFile, Promise<FileBytes>>();
  /** The newest write to the cache. */
  #written: Promise<unknown> = Promise.resolve();
  readonly #counted = new Map<BundleFile, number>();

  private constructor(url: URL, manifest: string, options: DownloadOptions, files?: readonly BundleFile[]) {
    this.#url = url;
    this.#options = options;
    this.manifest = manifest;
    this.files = files ?? listFiles(manifest, options.labels);
  }

  /** Fetches the manifest. */
  static async start(url: URL, options: DownloadOptions): Promise<BundleDownload> {
    const response = await fetchFile(url, options.fetch, options.signal);
    const bytes = await readBytes(response, url, options.signal, MOST_MANIFEST);
    return new BundleDownload(url, new TextDecoder().decode(bytes), options);
  }

  /**
   * One file's bytes, fetched once however often they are read: they come from the cache the next time, or stay here until
   * they are in it (`keeps`). The engine compares their hash with the manifest's.
   */
  read(file: BundleFile): Promise<FileBytes> {
    const ahead = this.#ahead.get(file);
    this.#ahead.delete(file);
    if (ahead) return ahead;
    const read = this.#reads.get(file) ?? this.#fetch(file);
    this.#reads.set(file, read);
    return read;
  }

  /** Begins to fetch the files from this one on that will be read next. What fails is told to whoever reads it. */
  readAhead(from: number): void {
    let bytes = 0;
    for (const file of this.files.slice(from)) {
      bytes += file.bytes;
      if (bytes > AHEAD) return;
      if (this.#ahead.has(file)) continue;
      const read = this.read(file);
      read.catch(() => {});
      this.#ahead.set(file, read);
    }
  }

  /**
   * The files of the bundle's text side, to be read by a download of their own.
   *
   * @throws {CliperError} `unsupported-bundle` where it has none
   */
  textSide(options: Pick<DownloadOptions, 'signal' | 'onProgress'>): TextSide {
    const { name, text, files } = JSON.parse(this.manifest) as {
      name?: string;
      text?: { weights: string; tokenizer: string };
      files: BundleFile[];
    };
    if (!text) {
      throw new CliperError(
        'unsupported-bundle',
        `The model '${name}' has no text side, so it knows its own descriptors only: pack it with one, \`cargo pkg pack --text FOLDER\`.`,
      );
    }
    const own = files.filter(({ path }) => path === text.weights || path === text.tokenizer);
    const download = new BundleDownload(this.#url, this.manifest, { ...this.#options, ...options }, own);
    return { ...text, files: own, download };
  }

  /** Whether a file's bytes must stay here: no cache has them, or not yet. */
  keeps(file: BundleFile): boolean {
    return this.#reads.has(file);
  }

  /** Where a file of the bundle lies: beside the manifest, whatever letters its name has. */
  addressOf(path: string): URL {
    // Some bundlers' `new URL` gives an object that has a relative address and no base.
    return toUrl(this.#options.addresses?.get(path) ?? new URL(encodeURIComponent(path), this.#url));
  }

  async #fetch(file: BundleFile): Promise<FileBytes> {
    const { signal, cache } = this.#options;
    const url = this.addressOf(file.path);
    const cached = cache ? await readCache(url, file) : undefined;
    if (cached) {
      throwIfAborted(signal);
      this.#count(file, cached.bytes.byteLength);
      this.#reads.delete(file);
      return cached;
    }
    let read = await this.#download(url, file);
    if (!isIntact(read, file) && /^https?:$/.test(url.protocol)) {
      // A file of before, or half of one, from a cache on the way: asked for once more, past the browser's own.
      read = await this.#download(url, file, 'reload');
    }
    if (cache && isIntact(read, file)) {
      // Nobody waits for the disk, but no more than one file lies here for it.
      await this.#written;
      this.#written = writeCache(url, file, read.bytes).then((isKept) => isKept && this.#reads.delete(file));
    }
    return read;
  }

  async #download(url: URL, file: BundleFile, cache?: 'reload'): Promise<FileBytes> {
    const { fetch, signal } = this.#options;
    const response = await fetchFile(url, fetch, signal, cache);
    const bytes = await readBytes(response, url, signal, file.bytes, (here) => this.#count(file, here));
    return { bytes, sha256: await sha256(bytes) };
  }

  /** So many bytes of a file are here; a file that is read again counts once. */
  #count(file: BundleFile, bytes: number): void {
    this.#counted.set(file, Math.min(file.bytes, Math.max(bytes, this.#counted.get(file) ?? 0)));
    const loaded = [...this.#counted.values()].reduce((sum, count) => sum + count, 0);
    const total = this.files.reduce((sum, file) => sum + file.bytes, 0);
    if (total > 0) this.#options.onProgress?.(loaded / total);
  }
}

/** The manifest's files (a detector's names one, its `weights`), read leniently: only to start fetching early. */
function listFiles(manifest: string, asked: string | undefined): BundleFile[] {
  try {
    const { files, weights, labels } = JSON.parse(manifest) as Partial<Record<'files' | 'weights' | 'labels', unknown>>;
    const set = (Array.isArray(labels) ? (labels as { name?: unknown; path?: unknown }[]) : []).find(
      ({ name }) => name === asked,
    );
    // The model card is for people: whoever wants it follows `info.card`. Labels take the descriptors' place, or are not read.
    const isNeeded = ({ path, role }: BundleFile): boolean =>
      role === 'labels' ? path === set?.path : role !== 'card' && role !== 'text' && !(set && role === 'descriptors');
    return (Array.isArray(files) ? files : [weights]).filter(isBundleFile).filter(isNeeded);
  } catch {
    return [];
  }
}

function isBundleFile(value: unknown): value is BundleFile {
  const { path, bytes, sha256 } = (value ?? {}) as Partial<Record<keyof BundleFile, unknown>>;
  return isPlainName(path) && Number.isSafeInteger(bytes) && (bytes as number) >= 0 && typeof sha256 === 'string';
}

/** A name that stays beside the manifest: the engine refuses any other, and nothing is asked of elsewhere before. */
function isPlainName(path: unknown): boolean {
  return typeof path === 'string' && path !== '' && !/[/\\\p{Surrogate}]/u.test(path) && !path.startsWith('.');
}

// The cache only saves time: a browser that refuses it (private window, full disk, plain http) changes nothing else.

/** Writes under way, by key: whoever reads waits for them. */
const writing = new Map<string, Promise<boolean>>();

async function readCache(url: URL, file: BundleFile): Promise<FileBytes | undefined> {
  if (url.protocol === 'data:') return undefined;
  const key = cacheKey(url, file);
  await writing.get(key.href);
  try {
    const cache = await caches.open(CACHE);
    const response = await cache.match(key);
    if (!response) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const read = { bytes, sha256: await sha256(bytes) };
    return isIntact(read, file) ? read : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a file that is as it should be, of which it takes a copy at once; whether it is kept now. */
async function writeCache(url: URL, file: BundleFile, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  if (url.protocol === 'data:') return false;
  const key = cacheKey(url, file);
  const copy = new Response(bytes);
  const written = (async () => {
    try {
      const cache = await caches.open(CACHE);
      // Earlier versions of the file go.
      await cache.delete(url, { ignoreSearch: true });
      await cache.put(key, copy);
      return true;
    } catch {
      return false;
    }
  })();
  writing.set(key.href, written);
  const isKept = await written;
  if (writing.get(key.href) === written) writing.delete(key.href);
  return isKept;
}

function cacheKey(url: URL, file: BundleFile): URL {
  const key = new URL(url);
  key.hash = '';
  key.searchParams.set('sha256', file.sha256);
  return key;
}

/** Whether the bytes are those that the manifest lists; taken for so where the browser can't say: the engine says it then. */
function isIntact({ sha256 }: FileBytes, file: BundleFile): boolean {
  return (sha256 ?? file.sha256) === file.sha256;
}

function join(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
