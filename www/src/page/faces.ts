// The options for faces: checked and filled up.

import { CliperError } from '../shared/errors.js';
import type { FaceOptions } from '../shared/types.js';
import { inWords, isWithin } from '../shared/values.js';

/** Looks a second, in a stream. */
export const RATE = 8;

const RANGES: Record<keyof FaceOptions, { least: number; most: number; isWhole: boolean }> = {
  maxFaces: { least: 1, most: 1000, isWhole: true },
  minScore: { least: 0, most: 1, isWhole: false },
  zoom: { least: 1, most: 4, isWhole: true },
  detectInterval: { least: 1, most: 1000, isWhole: true },
  lostTimeout: { least: 0, most: 60_000, isWhole: false },
  rate: { least: 0.01, most: 1000, isWhole: false },
  maxPerFrame: { least: 1, most: 1000, isWhole: true },
  minChange: { least: 0, most: 256, isWhole: false },
};

/** What was asked for, where faces are: a later one goes before an earlier one, and `undefined` asks for nothing. */
export function mergeFaceOptions(...asked: (boolean | FaceOptions | undefined)[]): FaceOptions | undefined {
  let merged: FaceOptions | undefined;
  for (const faces of asked) {
    if (faces === false) merged = undefined;
    else if (faces !== undefined) merged = { ...merged, ...(faces === true ? {} : given(faces)) };
  }
  return merged;
}

/** The options that are there: an explicit `undefined` means the default. */
function given(faces: FaceOptions): FaceOptions {
  if (typeof faces !== 'object' || faces === null) {
    throw new CliperError(
      'invalid-argument',
      `faces: ${inWords(faces)} is not possible: give true, false or an object with options.`,
    );
  }
  const entries = Object.entries(faces).filter(([, value]) => value !== undefined);
  for (const [name, value] of entries) check(name, value);
  return Object.fromEntries(entries);
}

function check(name: string, value: unknown): void {
  const range = Object.hasOwn(RANGES, name) ? RANGES[name as keyof FaceOptions] : undefined;
  if (!range) {
    throw new CliperError(
      'invalid-argument',
      `faces has no option '${name}': there are ${Object.keys(RANGES).join(', ')}.`,
    );
  }
  const { least, most, isWhole } = range;
  if (isWithin(value, least, most) && (!isWhole || Number.isInteger(value))) return;
  const kind = isWhole ? 'a whole number' : 'a number';
  throw new CliperError(
    'invalid-argument',
    `faces.${name} of ${inWords(value)} is not possible: give ${kind} from ${least} to ${most}.`,
  );
}
