import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChangeFilter, changes } from '../../../www/dist/src/page/changes.js';

const TEXTS = {
  calm: [
    { text: 'a still face', similarity: 0.1, strength: 0.6 },
    { text: 'level brows', similarity: 0.2, strength: 0.9 },
    { text: 'a gaze', similarity: 0.3, strength: 0.7 },
  ],
  smiling: [{ text: 'a broad smile.', similarity: 0.1, strength: 0.4 }],
};
const answer = (calm) => ({
  expressions: [
    { name: 'calm', score: calm, descriptors: TEXTS.calm },
    { name: 'smiling', score: 1 - calm, descriptors: TEXTS.smiling },
  ],
});
const face = (id, calm, state = 'recognized') => ({ ...answer(calm), id, state });
const faces = (...faces) => ({ state: faces.length > 0 ? 'recognized' : 'no-face', faces, waiting: 0 });
const told = (changes) => changes.map(({ from, to, face }) => [from, to, face]);

/** Every answer at its time, an eighth of a second after the one before. */
function run(options, answers) {
  const filter = new ChangeFilter(options);
  return answers.flatMap((answer, index) => filter.take(answer, index * 125));
}
const times = (count, answer) => Array.from({ length: count }, () => answer);

test('what stays the same is told once, after it held', () => {
  const [change, ...more] = run({}, times(40, answer(0.9)));
  assert.deepEqual(more, []);
  assert.deepEqual(change, {
    to: 'calm',
    score: 0.9,
    at: 500,
    sentence: 'The face now looks like calm: level brows; a gaze.',
  });
});

test('a change is told with both names; a single odd answer is not', () => {
  const answers = [...times(20, answer(0.9)), answer(0.05), ...times(20, answer(0.9)), ...times(20, answer(0.05))];
  const all = run({ time: 0.1 }, answers);
  assert.deepEqual(told(all), [
    [undefined, 'calm', undefined],
    ['calm', 'smiling', undefined],
  ]);
  assert.ok(all[1].at >= 41 * 125 + 400, `${all[1].at}`);
  // No descriptor of it stands out.
  assert.equal(all[1].sentence, 'The face now looks like smiling.');
});

test('two that are alike do not take turns', () => {
  const answers = Array.from({ length: 60 }, (_, index) => answer(index % 2 ? 0.54 : 0.46));
  assert.equal(run({ time: 0, hold: 0 }, answers).length, 1);
  // Without the margin they would.
  assert.ok(run({ time: 0, hold: 0, hysteresis: 0 }, answers).length > 50);
});

test('below the threshold nothing is named, and that is a change too', () => {
  const all = run({ uncertainBelow: 0.7, time: 0 }, [...times(10, answer(0.9)), ...times(10, answer(0.6))]);
  assert.deepEqual(told(all), [
    [undefined, 'calm', undefined],
    ['calm', undefined, undefined],
  ]);
  assert.deepEqual([all[1].score, all[1].sentence], [0, 'What the face looks like now is uncertain.']);
});

test('every face has changes of its own, and one when it is gone; a lost one is waited for', () => {
  const both = faces(face(1, 0.9), face(2, 0.1));
  const all = run({}, [
    ...times(10, both),
    ...times(3, faces(face(1, 0.9), face(2, 0.1, 'lost'))),
    ...times(3, faces(face(1, 0.9))),
    ...times(2, faces()),
  ]);
  assert.deepEqual(told(all), [
    [undefined, 'calm', 1],
    [undefined, 'smiling', 2],
    ['smiling', undefined, 2],
    ['calm', undefined, 1],
  ]);
  assert.equal(all[3].sentence, 'The face is out of sight.');
});

test('a face that was never named goes without a word', () => {
  assert.deepEqual(run({}, [faces(face(1, 0.9)), faces()]), []);
});

test('a stream gives its changes, and ends when the iteration is left', async () => {
  let ended = false;
  async function* stream() {
    try {
      for (;;) yield answer(0.9);
    } finally {
      ended = true;
    }
  }
  for await (const { to, at } of changes(stream(), { hold: 0 })) {
    assert.equal(to, 'calm');
    assert.ok(at > 0);
    break;
  }
  assert.ok(ended);
});
