// The face detector's files -> the engine: fetched only where faces are asked for.

import { CliperError } from '../shared/errors.js';
import { detectorFiles, detectorModel } from './files.js';
import { BundleDownload, type DownloadOptions, nameOf, toUrl } from './loader.js';
import type { Caller } from './worker-client.js';

/** The detector's files, ready to be given to an engine, and to the next one where that fails. */
export interface Detector {
  manifest: string;
  bytes: Uint8Array;
}

/** Fetches the detector, the package's own or the one at `address`. The engine verifies it. */
export async function fetchDetector(
  address: string | URL | undefined,
  options: Omit<DownloadOptions, 'addresses'>,
): Promise<Detector> {
  const download = await BundleDownload.start(toUrl(address ?? detectorModel()), {
    ...options,
    ...(address === undefined ? { addresses: detectorFiles() } : {}),
  });
  const [file] = download.files;
  if (!file) {
    throw new CliperError(
      'invalid-bundle',
      `${nameOf(toUrl(address ?? detectorModel()))} describes no face detector: give the model.json that \`cargo pkg face\` writes.`,
    );
  }
  const { bytes } = await download.read(file);
  return { manifest: download.manifest, bytes };
}

/** Gives an engine the detector. The bytes stay here, for the next engine if this one fails. */
export async function addDetector(engine: Caller, detector: Detector, signal: AbortSignal): Promise<void> {
  await engine.call('addDetector', detector, { signal });
}
