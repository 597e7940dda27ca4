// Compiled, never run: the example and the public type must fit each other both ways.
import type { Prediction } from '../../www/src/shared/types.js';
import example from './prediction.json' with { type: 'json' };

export const forward: Prediction = example;
export const back: typeof example = {} as Prediction;
