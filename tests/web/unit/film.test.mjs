// Which frames of a clip are looked at: the same rule as in Rust and in the reference.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openClip, sample } from '../../../www/dist/src/page/film.js';

const { signal } = new AbortController();

const looked = async (pictures, options, length) => {
  const { from, to, frames } = await openClip(pictures, options, length, signal);
  const taken = [];
  for await (const { picture, time } of frames) taken.push([picture, time]);
  return { from, to, taken };
};

test('frames are sampled as the reference samples them, but for the repeated last one', async () => {
  const cases = JSON.parse(await readFile(new URL('../../fixtures/temporal/samples.json', import.meta.url)));
  assert.ok(cases.length >= 10);
  for (const [count, frames, indices] of cases) {
    assert.deepEqual(sample(count, frames), [...new Set(indices)], `${count} frames, ${frames} wanted`);
  }
});

test('a list has its frames at its rate, and only those of the part', async () => {
  const pictures = ['a', 'b', 'c', 'd', 'e', 'f'];
  assert.deepEqual(await looked(pictures, { rate: 2 }, 3), {
    from: 0,
    to: 3,
    taken: [
      ['b', 0.5],
      ['d', 1.5],
      ['f', 2.5],
    ],
  });
  assert.deepEqual(await looked(pictures, { rate: 2, from: 1, to: 2 }, 16), {
    from: 1,
    to: 2,
    taken: [
      ['c', 1],
      ['d', 1.5],
    ],
  });
  assert.equal((await looked(pictures, {}, 1)).taken[0][0], 'd');
});

test('a part without frames, and a rate that is none, are refused with the reason', async () => {
  const refused = (options, words) =>
    assert.rejects(
      openClip(['a', 'b'], options, 2, signal),
      (error) => error.code === 'invalid-argument' && words.test(error.message),
    );
  await refused({ from: 2, to: 2 }, /empty/);
  await refused({ from: -1 }, /empty/);
  await refused({ from: NaN }, /empty/);
  await refused({ from: 5 }, /ends at 0\.08/);
  await refused({ rate: 0 }, /no rate/);
  await assert.rejects(openClip([], {}, 2, signal), { code: 'invalid-argument' });
});
