import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest, RecentMoments, toCsv, toJson } from '../../../www/dist/demo/moments.js';

const moment = (time, expression = 'calm', scores = [0.25, 0.75]) => ({ time, expression, scores });

test('only the last seconds stay, counted from the newest moment', () => {
  const recent = new RecentMoments(30);
  for (let time = 0; time <= 100; time += 0.5) recent.add(moment(time));
  assert.deepEqual([recent.list[0].time, recent.list.at(-1).time, recent.list.length], [70.5, 100, 60]);
});

test('what was taken from it stays as it was', () => {
  const recent = new RecentMoments(30);
  recent.add(moment(1));
  const before = recent.list;
  recent.add(moment(2));
  assert.equal(before.length, 1);
});

test('a table has a column for each expression; names with commas and quotes are quoted', () => {
  const csv = toCsv(['calm', 'odd, "so"'], [moment(0.5), moment(1, 'odd, "so"', [0.1, 0.9])]);
  assert.equal(
    csv,
    'seconds,expression,calm,"odd, ""so"""\n0.500,calm,0.2500,0.7500\n1.000,"odd, ""so""",0.1000,0.9000\n',
  );
});

test('JSON holds the same with the model', () => {
  const moments = [moment(0.5)];
  assert.deepEqual(JSON.parse(toJson('small', ['calm', 'other'], moments)), {
    model: 'small',
    expressions: ['calm', 'other'],
    moments,
  });
});

test('the nearest moment; none of none', () => {
  const moments = [moment(1), moment(2), moment(4)];
  assert.equal(nearest(moments, -5).time, 1);
  assert.equal(nearest(moments, 2.9).time, 2);
  assert.equal(nearest(moments, 3.1).time, 4);
  assert.equal(nearest([], 1), undefined);
});
