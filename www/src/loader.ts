// Addresses -> bytes: fetching with a reason for every failure, the bundle's files, and their cache.

import { abortedBy, throwIfAborted } from './abort.js';
import { CliperError } from './errors.js';

export type Fetch = (url: URL, options: { signal: AbortSignal }) => Promise<Response>;

/** A file of a bundle, as the manifest lists it. */
export interface BundleFile {
  path: string;
  bytes: number;
  sha256: string;
}

const CACHE = 'cliper';

/** Fetches, and turns every way to fail into a code. */
export async function fetchOk(url: URL, fetch: Fetch, signal: AbortSignal): Promise<Response> {
  throwIfAborted(signal);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    if (signal.aborted) throw abortedBy(signal);
    throw new CliperError('network', `${url} could not be fetched: check the connection and the address, then try again.`, { cause });
  }
  if (response.status === 404 || response.status === 410) {
    throw new CliperError('missing-file', `${url} does not exist (HTTP ${response.status}): check the address and that every file was uploaded.`);
  }
  if (!response.ok) {
    throw new CliperError('network', `${url} answered with HTTP ${response.status}: check the server, then try again.`);
  }
  return response;
}

/** A response's bytes, telling `onBytes` of each piece. */
export async function readBytes(
  response: Response,
  url: URL,
  signal: AbortSignal,
  onBytes?: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    if (!response.body || !onBytes) return new Uint8Array(await response.arrayBuffer());
    const pieces: Uint8Array[] = [];
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      onBytes(value.byteLength);
    }
    return join(pieces);
  } catch (cause) {
    if (signal.aborted) throw abortedBy(signal);
    throw new CliperError('network', `${url} broke off half way: check the connection, then try again.`, { cause });
  }
}

/** A bundle on its way: the manifest's text, then file after file. */
export class BundleDownload {
  /** The manifest's text; the engine judges it. */
  readonly manifest: string;
  /** Files to fetch. Empty if the manifest can't be read: the engine then says what is wrong with it. */
  readonly files: readonly BundleFile[];
  readonly #url: URL;
  readonly #options: DownloadOptions;

  private constructor(url: URL, manifest: string, options: DownloadOptions) {
    this.#url = url;
    this.#options = options;
    this.manifest = manifest;
    this.files = listFiles(manifest);
  }

  /** Fetches the manifest. */
  static async start(url: URL, options: DownloadOptions): Promise<BundleDownload> {
    const response = await fetchOk(url, options.fetch, options.signal);
    const bytes = await readBytes(response, url, options.signal);
    return new BundleDownload(url, new TextDecoder().decode(bytes), options);
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** One file's bytes, from the cache or the network. The engine verifies them. */
  async read(file: BundleFile, onBytes: (count: number) => void): Promise<Uint8Array<ArrayBuffer>> {
    const { fetch, signal, cache } = this.#options;
    const url = new URL(file.path, this.#url);
    const cached = cache ? await readCache(url, file) : undefined;
    if (cached) {
      throwIfAborted(signal);
      onBytes(cached.byteLength);
      return cached;
    }
    const bytes = await readBytes(await fetchOk(url, fetch, signal), url, signal, onBytes);
    if (cache) await writeCache(url, file, bytes);
    return bytes;
  }
}

export interface DownloadOptions {
  fetch: Fetch;
  signal: AbortSignal;
  cache: boolean;
}

/** The manifest's files, read leniently: only to start fetching early. */
function listFiles(manifest: string): BundleFile[] {
  try {
    const { files } = JSON.parse(manifest) as { files?: unknown };
    return Array.isArray(files) ? files.filter(isBundleFile) : [];
  } catch {
    return [];
  }
}

function isBundleFile(value: unknown): value is BundleFile {
  const file = value as Partial<BundleFile> | null;
  return typeof file?.path === 'string' && typeof file.bytes === 'number' && typeof file.sha256 === 'string';
}

// The cache only saves time: a browser that refuses it (private window, full disk, plain http) changes nothing else.

async function readCache(url: URL, file: BundleFile): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const cache = await caches.open(CACHE);
    const response = await cache.match(cacheKey(url, file));
    if (!response) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    return (await isIntact(bytes, file)) ? bytes : undefined;
  } catch {
    return undefined;
  }
}

async function writeCache(url: URL, file: BundleFile, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    if (!(await isIntact(bytes, file))) return;
    const cache = await caches.open(CACHE);
    // Earlier versions of the file go.
    await cache.delete(url, { ignoreSearch: true });
    await cache.put(cacheKey(url, file), new Response(bytes));
  } catch {
    // See above.
  }
}

function cacheKey(url: URL, file: BundleFile): URL {
  const key = new URL(url);
  key.hash = '';
  key.searchParams.set('sha256', file.sha256);
  return key;
}

async function isIntact(bytes: Uint8Array<ArrayBuffer>, file: BundleFile): Promise<boolean> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('') === file.sha256;
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
