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

/** `[expressions]` scores, then `[descriptors]` similarities, then as many strengths or none -> the most similar first. */
function explain(values: Float32Array, described: readonly DescribedExpression[]): ExpressionScore[] {
  const count = described.reduce((sum, { descriptors }) => sum + descriptors.length, 0);
  let place = described.length;
  return described.map(({ name, descriptors }, index) => {
    const compared = descriptors.map((text): DescriptorSimilarity => {
      const similarity = values[place] as number;
      const strength = values[count + place++];
      return strength === undefined || Number.isNaN(strength) ? { text, similarity } : { text, similarity, strength };
    });
    compared.sort((one, other) => other.similarity - one.similarity);
    return { name, score: values[index] as number, descriptors: compared };
  });
}
