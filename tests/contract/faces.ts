// Compiled, never run: the example and the public type must fit each other both ways.
import type { FaceRecognition } from '../../www/src/shared/types.js';
import example from './faces.json' with { type: 'json' };

/** JSON imports know no literal types: `'no-face'` is a string there. */
type Plain<T> = T extends string ? string : T extends object ? { [Key in keyof T]: Plain<T[Key]> } : T;
type Frame = Plain<Omit<FaceRecognition, 'timings'>>;

export const forward: Frame = example;
export const back: typeof example = {} as Frame;
