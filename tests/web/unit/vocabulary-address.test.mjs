// The visitor's expressions in the page's address: short, the same when read, and refused where damaged or another model's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changed,
  descriptorsOf,
  isSame,
  merged,
  vocabularyOf,
  without,
  withTaught,
} from '../../../www/dist/demo/vocabulary.js';
import { addressOf, signed, vocabularyIn } from '../../../www/dist/demo/vocabulary-address.js';
import { fc } from '../fast-check.mjs';

const own = vocabularyOf({ joy: ['a smile', 'teeth', 'cheeks up'], calm: ['at rest'], fear: ['wide eyes', 'pale'] });
const wink = { format: 'cliper-expression', version: 1, name: 'wink', descriptors: [] };
const expression = (name, ...texts) => ({ name, texts, taught: [], isAnswered: true });
const body = (vocabulary) => addressOf(vocabulary, own).replace(/^[^_]*_/, '');

test("the model's own take no room", () => {
  assert.equal(addressOf(own, own), '');
  assert.equal(vocabularyIn('', own), own);
});

test('what changed is told by numbers, and in full where the model has it not', () => {
  assert.equal(body(changed(own, 'calm', { isAnswered: false })), '0_-1_2');
  assert.equal(body(merged(own, 'joy', 'fear')), '*joy + fear.0.2_1');
  assert.equal(body(changed(own, 'joy', { texts: ['a smile', 'cheeks up'] })), '0.0-0.0-2_1_2');
  assert.equal(body([...own, expression('wink_', 'one eye. ~ closed')]), '0_1_2_*wink~2.*one eye~1 ~0 closed');
});

test('what was taught is left out, alone and made one with others', () => {
  assert.equal(addressOf(withTaught(own, wink), own), '');
  assert.equal(addressOf(merged(withTaught(own, wink), 'joy', 'wink'), own), '');
  assert.equal(addressOf(merged(withTaught(own, wink), 'wink', 'calm'), own), addressOf([own[0], own[2], own[1]], own));
  // Where its name would then be another one's.
  const again = [...merged(withTaught(own, wink), 'joy', 'wink'), expression('joy', 'glad')];
  assert.equal(body(again), '*joy + wink.0_1_2_0.*glad');
  assert.equal(
    addressOf(without(withTaught(own.slice(0, 2), wink), 'joy'), own),
    undefined,
    'one is nothing to answer in',
  );
});

test('what is too long for an address is not in it', () => {
  const texts = Array.from({ length: 40 }, (_, index) => `${index} ${'brows up '.repeat(20)}`);
  assert.equal(addressOf([...own, expression('long', ...texts)], own), undefined);
});

/** Whatever a visitor may make of expressions: any words, in any order, some left out. */
const word = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(...'ab0-*._~+ %&=#é笑\u{1f609}') });
const made = fc
  .record({
    kept: fc.shuffledSubarray(own, { minLength: 2 }),
    parts: fc.uniqueArray(word, { minLength: 1, maxLength: 4 }),
    name: word,
    out: fc.boolean(),
    drop: fc.nat(2),
  })
  .map(({ kept, parts, name, out, drop }) => {
    const some = kept.map((one) => ({
      ...one,
      texts: one.texts.filter((_, at) => at !== drop || one.texts.length === 1),
    }));
    return [{ ...expression(`${name}!`, ...parts.map((part) => `${part}!`)), isAnswered: !out }, ...some];
  });

test('what an address says is what it was made of, through an address too', () => {
  fc.assert(
    fc.property(made, (vocabulary) => {
      const address = new URL('https://example.org/');
      address.searchParams.set('expressions', addressOf(vocabulary, own));
      const read = vocabularyIn(new URL(address.href).searchParams.get('expressions'), own);
      assert.ok(isSame(read, vocabulary), address.href);
      assert.deepEqual(descriptorsOf(read, own), descriptorsOf(vocabulary, own));
    }),
  );
});

test('what is damaged, of another model or made by hand is none', () => {
  const other = vocabularyOf({ joy: ['a smile'], calm: ['at rest'], fear: ['wide eyes', 'pale'] });
  fc.assert(
    fc.property(made, fc.nat(), fc.constantFrom('', 'a', '_', '.', '*', '0'), (vocabulary, at, sign) => {
      const address = addressOf(vocabulary, own);
      assert.equal(vocabularyIn(address, other), undefined);
      const place = at % address.length;
      const damaged = address.slice(0, place) + sign + address.slice(place + 1);
      if (damaged !== address && damaged !== '') assert.equal(vocabularyIn(damaged, own), undefined, damaged);
    }),
  );
  fc.assert(fc.property(fc.string({ minLength: 1 }), (text) => assert.equal(vocabularyIn(text, own), undefined)));
});

test('a right check makes no wrong words right', () => {
  assert.deepEqual(vocabularyIn(signed(['0', '-1', '2'], own), own), changed(own, 'calm', { isAnswered: false }));
  for (const words of [
    [],
    ['0'],
    ['0', '-1', '-2'],
    ['0', '1', '7'],
    ['0', '1', '__proto__'],
    ['0', '1', ''],
    ['0', '1', '-'],
    ['0', '1', '1'],
    ['0', '1', '2.0-0'],
    ['0', '1', '2.2-2'],
    ['0', '1', '2.-1'],
    ['0', '1', '2.1e0'],
    ['0', '1', '2.*'],
    ['0', '1', '*.*a'],
  ]) {
    assert.equal(vocabularyIn(signed(words, own), own), undefined, words.join('_'));
  }
});
