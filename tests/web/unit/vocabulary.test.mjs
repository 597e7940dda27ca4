// Expressions as the page's visitors edit them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changed,
  descriptorsOf,
  isSame,
  isTaken,
  merged,
  ownerOf,
  readTaught,
  restored,
  vocabularyOf,
  without,
  withTaught,
} from '../../../www/dist/demo/vocabulary.js';

const own = vocabularyOf({ joy: ['a smile', 'teeth'], calm: ['at rest'], fear: ['wide eyes'] });
const wink = { format: 'cliper-expression', version: 1, name: 'wink', descriptors: [] };
const names = (vocabulary) => vocabulary.map(({ name }) => name);

test("the model's own are asked for as what the model has", () => {
  assert.equal(descriptorsOf(own, own), null);
  assert.equal(
    descriptorsOf(changed(changed(own, 'joy', { isAnswered: false }), 'joy', { isAnswered: true }), own),
    null,
  );
});

test('what is left out is not asked for, and keeps its texts', () => {
  const some = changed(own, 'calm', { isAnswered: false });
  assert.deepEqual(descriptorsOf(some, own), { joy: ['a smile', 'teeth'], fear: ['wide eyes'] });
  assert.deepEqual(some[1].texts, ['at rest']);
});

test('two made one have the texts of both, in the place of the first', () => {
  const one = merged(own, 'calm', 'joy');
  assert.deepEqual(names(one), ['calm + joy', 'fear']);
  assert.deepEqual(one[0].texts, ['at rest', 'a smile', 'teeth']);
  assert.equal(ownerOf(one, 'teeth'), 'calm + joy');
  assert.equal(ownerOf(one, 'tongue'), undefined);
});

test("what was taught comes beside the others, once, and stays where the model's own come back", () => {
  const twice = withTaught(withTaught(merged(own, 'joy', 'calm'), { ...wink, frames: 5 }), wink);
  assert.deepEqual(names(twice), ['joy + calm', 'fear', 'wink']);
  assert.deepEqual(descriptorsOf(twice, own).wink, [wink]);
  const back = restored(twice, own);
  assert.deepEqual(names(back), ['joy', 'calm', 'fear', 'wink']);
  assert.ok(isSame(without(back, 'wink'), own));
});

test('what was taught is made one with others, and comes back by itself', () => {
  const grin = { ...wink, name: 'grin' };
  const both = merged(withTaught(withTaught(own, wink), grin), 'wink', 'grin');
  assert.deepEqual(names(both), ['joy', 'calm', 'fear', 'wink + grin']);
  assert.deepEqual(descriptorsOf(both, own)['wink + grin'], [wink, grin]);
  const all = merged(both, 'joy', 'wink + grin');
  assert.deepEqual(names(all), ['joy + wink + grin', 'calm', 'fear']);
  assert.deepEqual(descriptorsOf(all, own)['joy + wink + grin'], [wink, grin, 'a smile', 'teeth']);
  assert.deepEqual(names(restored(all, own)), ['joy', 'calm', 'fear', 'wink', 'grin']);
  // Its text stands once among answers; one that is there alone makes room.
  assert.ok(isTaken(both, 'wink') && isTaken(both, 'joy') && isTaken(both, 'wink + grin'));
  assert.ok(!isTaken(both, 'smirk') && !isTaken(withTaught(own, wink), 'wink'));
});

test('a file that is no taught expression is none', () => {
  assert.deepEqual(readTaught(JSON.stringify(wink)), wink);
  for (const text of ['', '{', 'null', '7', '{"format":"cliper-bundle","name":"a"}', '{"format":"cliper-expression"}'])
    assert.equal(readTaught(text), undefined, text);
});
