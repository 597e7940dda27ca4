// The version that page, worker and engine must share: each says its own, and the first that differs is named.

import { CliperError } from './errors.js';

/** Of this library; `package.json` and `Cargo.toml` say the same. */
export const VERSION = '0.1.0';

/**
 * Holds the version that another part says against this one's.
 *
 * @throws {CliperError} `version-mismatch`, with both versions and what to do
 */
export function checkVersion(part: string, version: unknown): void {
  if (version !== VERSION) throw versionMismatch(part, version);
}

/** Parts of two versions that met, with what the other one says of itself, if anything. */
export function versionMismatch(part: string, version?: unknown, cause?: unknown): CliperError {
  const said = typeof version === 'string' ? `is of version ${version}` : 'says no version';
  return new CliperError(
    'version-mismatch',
    `${part} ${said}, what met it is of version ${VERSION}: serve all files of one version of the package, and empty caches between.`,
    { cause },
  );
}
