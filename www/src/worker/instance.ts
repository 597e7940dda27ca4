// A wasm file -> the instance behind its glue, both of this version.

import { checkVersion, versionMismatch } from '../shared/version.js';
import type * as cpu from '../wasm/cpu/cliper.js';

/**
 * Starts a glue's wasm file.
 *
 * @throws {CliperError} `version-mismatch` where the two do not belong together, or not to this version
 */
export async function instantiate(
  { default: init, engineVersion }: Pick<typeof cpu, 'default' | 'engineVersion'>,
  options: Parameters<typeof cpu.default>[0],
): Promise<void> {
  let version: unknown;
  try {
    await init(options);
    version = engineVersion();
  } catch (cause) {
    // The glue has other imports than the file asks for, or the file lacks what the glue calls.
    if (cause instanceof WebAssembly.LinkError || cause instanceof TypeError)
      throw versionMismatch(ENGINE, undefined, cause);
    throw cause;
  }
  checkVersion(ENGINE, version);
}

const ENGINE = "The engine's wasm file";
