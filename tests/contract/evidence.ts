// Compiled, never run: the example and the public type must fit each other both ways.
import type { DescriptorSimilarity } from '../../www/src/shared/types.js';
import example from './evidence.json' with { type: 'json' };

/** JSON imports know no literal types: `'sum'` is a string there. */
type Plain<T> = T extends string ? string : T extends object ? { [Key in keyof T]: Plain<T[Key]> } : T;
type Explained = Plain<Required<DescriptorSimilarity>>[];

export const forward: Explained = example;
export const back: typeof example = [] as Explained;
