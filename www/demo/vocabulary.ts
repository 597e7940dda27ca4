// Expressions as the visitor edits them: the model's own, changed, added, made one, left out or taught. Plain data.

import type { ExpressionDescription, TaughtExpression } from '../src/index.js';

export interface Expression {
  name: string;
  /** What describes it, beside what frames have taught. */
  texts: readonly string[];
  taught: readonly TaughtExpression[];
  /** Whether answers name it. */
  isAnswered: boolean;
}

export type Vocabulary = readonly Expression[];

/** Of a model's own descriptors. */
export function vocabularyOf(descriptors: Readonly<Record<string, readonly string[]>>): Vocabulary {
  return Object.entries(descriptors).map(([name, texts]) => ({ name, texts, taught: [], isAnswered: true }));
}

/** What answers are asked for in; null where that is what the model has itself. */
export function descriptorsOf(vocabulary: Vocabulary, own: Vocabulary): Record<string, ExpressionDescription> | null {
  if (isSame(vocabulary, own)) return null;
  const answered = vocabulary.filter(({ isAnswered }) => isAnswered);
  return Object.fromEntries(answered.map(({ name, texts, taught }) => [name, [...taught, ...texts]]));
}

export function isSame(one: Vocabulary, other: Vocabulary): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function alone(taught: TaughtExpression, isAnswered = true): Expression {
  return { name: taught.name, texts: [], taught: [taught], isAnswered };
}

/** Whether something of this name is there that one taught by it would not make room for. */
export function isTaken(vocabulary: Vocabulary, name: string): boolean {
  return vocabulary.some(({ name: other, texts, taught }) =>
    other === name ? texts.length > 0 || taught.length !== 1 : taught.some((one) => one.name === name),
  );
}

/** One expression changed, the others as they are. */
export function changed(vocabulary: Vocabulary, name: string, change: Partial<Expression>): Vocabulary {
  return vocabulary.map((expression) => (expression.name === name ? { ...expression, ...change } : expression));
}

export function without(vocabulary: Vocabulary, name: string): Vocabulary {
  return vocabulary.filter((expression) => expression.name !== name);
}

/** Between the names of those that are made one. */
export const JOINT = ' + ';

/** What two are called that are made one. */
export function mergedName(name: string, other: string): string {
  return `${name}${JOINT}${other}`;
}

/** Two made one, in the place of the first: their scores add up. */
export function merged(vocabulary: Vocabulary, name: string, other: string): Vocabulary {
  const both = [name, other].flatMap((name) => vocabulary.filter((expression) => expression.name === name));
  const one = {
    name: mergedName(name, other),
    texts: both.flatMap(({ texts }) => texts),
    taught: both.flatMap(({ taught }) => taught),
    isAnswered: true,
  };
  return without(vocabulary, other).map((expression) => (expression.name === name ? one : expression));
}

/** Beside the others; one of the same name that was taught before makes room. */
export function withTaught(vocabulary: Vocabulary, taught: TaughtExpression): Vocabulary {
  return [...without(vocabulary, taught.name), alone(taught)];
}

/** Who has a text already. */
export function ownerOf(vocabulary: Vocabulary, text: string): string | undefined {
  return vocabulary.find(({ texts }) => texts.includes(text))?.name;
}

/** The model's own again, beside what was taught. */
export function restored(vocabulary: Vocabulary, own: Vocabulary): Vocabulary {
  return [...own, ...vocabulary.flatMap(({ taught, isAnswered }) => taught.map((one) => alone(one, isAnswered)))];
}

/** A taught expression from the text of its file; what is wrong inside one is the engine's to say. */
export function readTaught(json: string): TaughtExpression | undefined {
  try {
    const read: unknown = JSON.parse(json);
    const isOne = typeof read === 'object' && read !== null && 'format' in read && read.format === 'cliper-expression';
    return isOne && 'name' in read && typeof read.name === 'string' ? (read as unknown as TaughtExpression) : undefined;
  } catch {
    return undefined;
  }
}
