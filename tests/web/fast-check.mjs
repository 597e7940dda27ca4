// fast-check with one seed for all runs: what fails can be run again, and ordinary runs look at the same cases.

import { createRequire } from 'node:module';
import { amount } from './long.mjs';

export const fc = createRequire(new URL('../../www/package.json', import.meta.url))('fast-check');

fc.configureGlobal({ seed: Number(process.env.CLIPER_SEED ?? 20_210), numRuns: amount(500, 20_000) });
