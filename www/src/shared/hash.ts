// The hash of a file, by the browser: off the thread that asks, and faster than wasm.

/** SHA-256 in hexadecimal; nothing where the page's context is not secure, which has no such function. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  if (!globalThis.crypto?.subtle) return undefined;
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
