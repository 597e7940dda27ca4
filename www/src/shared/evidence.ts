// Where on a picture a similarity comes from: the option checked, and refused where it has no place.

import { CliperError } from './errors.js';
import { inWords } from './values.js';

/** How the engine finds it: `best` takes the exact sum where the encoder has one. */
export type AskedEvidence = 'best' | 'occlusion';

/**
 * What was asked for.
 *
 * @throws {CliperError} `invalid-argument` for anything but a boolean, `'occlusion'` and nothing
 */
export function askedEvidence(evidence: boolean | 'occlusion' | undefined): AskedEvidence | undefined {
  switch (evidence) {
    case undefined:
    case false:
      return undefined;
    case true:
      return 'best';
    case 'occlusion':
      return 'occlusion';
  }
  throw new CliperError(
    'invalid-argument',
    `evidence: ${inWords(evidence)} is not possible: give true, false or 'occlusion'.`,
  );
}

/**
 * Refuses the option for `what`, which has frames and not one picture; plain JavaScript may give it there.
 *
 * @throws {CliperError} `invalid-argument`
 */
export function refuseEvidence(options: object, what: string): void {
  const { evidence } = options as { evidence?: unknown };
  if (evidence === undefined || evidence === false) return;
  throw new CliperError(
    'invalid-argument',
    `${what} takes no evidence, which is of one still picture: give the frame to recognize(picture, { evidence: true }).`,
  );
}
