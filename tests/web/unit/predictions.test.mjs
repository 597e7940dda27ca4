// What crosses from the worker is the public answer again: fast-check makes answers, packed as src/wasm/answers.rs packs them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAnswer } from '../../../www/dist/src/page/predictions.js';
import { fc } from '../fast-check.mjs';

const number = fc.float({ noNaN: true, noDefaultInfinity: true });
const strength = fc.option(fc.float({ min: 0, max: 1, noNaN: true }), { nil: undefined });
const expressions = fc.uniqueArray(
  fc.record({
    name: fc.string(),
    score: number,
    descriptors: fc.uniqueArray(fc.record({ text: fc.string(), similarity: number, strength }), {
      minLength: 1,
      selector: ({ similarity }) => similarity,
    }),
  }),
  { minLength: 2, maxLength: 6, selector: ({ name }) => name },
);

function pack(expressions) {
  const all = expressions.flatMap(({ descriptors }) => descriptors);
  const strengths = all.map(({ strength }) => strength ?? Number.NaN);
  const hasStrength = all.some(({ strength }) => strength !== undefined);
  return Float32Array.of(
    ...expressions.map(({ score }) => score),
    ...all.map(({ similarity }) => similarity),
    ...(hasStrength ? strengths : []),
  );
}
const described = (expressions) =>
  expressions.map(({ name, descriptors }) => ({ name, descriptors: descriptors.map(({ text }) => text) }));
const explained = (expressions) =>
  expressions.map(({ name, score, descriptors }) => ({
    name,
    score,
    descriptors: descriptors
      .map(({ text, similarity, strength }) => ({ text, similarity, ...(strength === undefined ? {} : { strength }) }))
      .sort((one, other) => other.similarity - one.similarity),
  }));
const rest = { top: { name: 'calm', score: 0.5 }, window: { filled: 1, length: 1 }, uncertain: false };

test('a prediction gets its texts back, the most similar first', () => {
  fc.assert(
    fc.property(expressions, (expressions) => {
      const answer = readAnswer({ ...rest, values: pack(expressions) }, described(expressions));
      assert.deepEqual(answer, { ...rest, expressions: explained(expressions) });
    }),
  );
});

test('each face of a frame does, and keeps what else it has', () => {
  fc.assert(
    fc.property(expressions, fc.array(fc.nat()), (expressions, ids) => {
      const faces = ids.map((id) => ({ id, state: 'lost', ...rest, values: pack(expressions) }));
      const frame = readAnswer({ state: 'recognized', faces, waiting: 2 }, described(expressions));
      const read = ids.map((id) => ({ id, state: 'lost', ...rest, expressions: explained(expressions) }));
      assert.deepEqual(frame, { state: 'recognized', faces: read, waiting: 2 });
    }),
  );
});

test('one in full, as with evidence, is taken as it is; another answer too', () => {
  const full = [{ name: 'calm', score: 1, descriptors: [{ text: 'a still face', similarity: 0.3, evidence: {} }] }];
  const values = Float32Array.of(1, 0.3);
  assert.deepEqual(readAnswer({ ...rest, values, expressions: full }, []), { ...rest, expressions: full });
  assert.deepEqual(readAnswer({ found: true }, []), { found: true });
});

test('descriptors are made when they are read, once, and copies carry them', () => {
  const expressions = [
    { name: 'calm', score: 0.25, descriptors: [{ text: 'a still face', similarity: 0.5 }] },
    { name: 'glad', score: 0.75, descriptors: [{ text: 'a smile', similarity: 0.25 }] },
  ];
  let made = 0;
  const texts = described(expressions).map((expression) => ({
    ...expression,
    descriptors: Object.assign([...expression.descriptors], {
      map(...rest) {
        made++;
        return Array.prototype.map.apply(this, rest);
      },
    }),
  }));
  const read = () => readAnswer({ ...rest, values: pack(expressions) }, texts).expressions;
  const answer = read();
  assert.equal(answer[1].score, 0.75);
  assert.equal(made, 0);
  assert.equal(answer[1].descriptors, answer[1].descriptors);
  assert.equal(made, 1);
  for (const copy of [structuredClone(read()), JSON.parse(JSON.stringify(read())), read().map((it) => ({ ...it }))])
    assert.deepEqual(copy, expressions);
  answer[0].descriptors = [];
  answer[1].descriptors = [];
  assert.deepEqual(answer[1].descriptors, []);
});
