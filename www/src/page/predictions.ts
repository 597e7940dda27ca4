// An answer as it crossed from the worker -> the public one, with the texts that the page has already.

import type { CompactFrame, CompactPrediction, DescribedExpression, FramePrediction } from '../shared/protocol.js';
import type { DescriptorSimilarity, ExpressionScore, Prediction } from '../shared/types.js';

/** What an answer reads as; any other stays what it is. */
export type Read<A> = A extends CompactPrediction ? Prediction : A extends CompactFrame ? FramePrediction : A;

/** Reads an answer that was made with these expressions. */
export function readAnswer<A extends object>(answer: A, expressions: readonly DescribedExpression[]): Read<A>;
export function readAnswer(
  answer: object | CompactPrediction | CompactFrame,
  expressions: readonly DescribedExpression[],
): object {
  if ('values' in answer) return readPrediction(answer, expressions);
  if (!('waiting' in answer)) return answer;
  return { ...answer, faces: answer.faces.map((face) => readPrediction(face, expressions)) };
}

function readPrediction(
  { values, expressions: told, top, ...rest }: CompactPrediction,
  described: readonly DescribedExpression[],
): Prediction {
  return { top, expressions: told ?? explain(values, described), ...rest };
}

/**
 * `[expressions]` scores, then `[descriptors]` similarities, then as many strengths or none. An expression's descriptors are made when
 * they are first read: ten thousand a frame cost more than the frame, and a page that draws the scores reads none.
 */
function explain(values: Float32Array, described: readonly DescribedExpression[]): ExpressionScore[] {
  const count = described.reduce((sum, { descriptors }) => sum + descriptors.length, 0);
  let place = described.length;
  return described.map(({ name, descriptors: texts }, index) => {
    const first = place;
    place += texts.length;
    const become = (value: DescriptorSimilarity[]) => {
      Object.defineProperty(expression, 'descriptors', { value, writable: true, enumerable: true, configurable: true });
      return value;
    };
    const expression: ExpressionScore = {
      name,
      score: values[index] as number,
      get descriptors() {
        return become(compare(texts, values.subarray(first), values.subarray(first + count)));
      },
      set descriptors(value) {
        become(value);
      },
    };
    return expression;
  });
}

/** Texts with their similarities and strengths, the most similar first. */
function compare(
  texts: readonly string[],
  similarities: Float32Array,
  strengths: Float32Array,
): DescriptorSimilarity[] {
  const compared = texts.map((text, place): DescriptorSimilarity => {
    const [similarity, strength] = [similarities[place] as number, strengths[place]];
    return strength === undefined || Number.isNaN(strength) ? { text, similarity } : { text, similarity, strength };
  });
  return compared.sort((one, other) => other.similarity - one.similarity);
}
