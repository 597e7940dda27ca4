import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressMeter } from '../../../www/dist/src/page/progress.js';

const STAGES = ['download', 'compile', 'verify', 'upload', 'warmup', 'ready'];

function assertMonotone(events) {
  for (const [index, event] of events.entries()) {
    assert.ok(event.loaded >= 0 && event.loaded <= event.total, JSON.stringify(event));
    const before = events[index - 1];
    if (!before) continue;
    assert.equal(event.total, before.total);
    assert.ok(event.loaded >= before.loaded, `${JSON.stringify(before)} -> ${JSON.stringify(event)}`);
    assert.ok(STAGES.indexOf(event.stage) >= STAGES.indexOf(before.stage), `${before.stage} -> ${event.stage}`);
  }
}

test('runs through its stages and ends at its total', () => {
  const events = [];
  const meter = new ProgressMeter((event) => events.push(event));
  for (const stage of STAGES) for (const part of [0, 0.5, 1]) meter.advance(stage, part);
  assertMonotone(events);
  assert.deepEqual([...new Set(events.map(({ stage }) => stage))], STAGES);
  assert.equal(events[0].loaded, 0);
  assert.deepEqual(events.at(-1), { stage: 'ready', loaded: events[0].total, total: events[0].total });
});

test('never falls: not when a second device starts over, not when more bytes come than were named', () => {
  const events = [];
  const meter = new ProgressMeter((event) => events.push(event));
  meter.advance('download', 0.5);
  meter.advance('download', 1.7);
  meter.advance('upload', 0);
  meter.advance('download', 0);
  meter.advance('compile', 1);
  meter.advance('upload', 0);
  meter.advance('warmup', 1);
  meter.advance('ready', 1);
  assertMonotone(events);
  assert.deepEqual(
    events.map(({ stage }) => stage),
    ['download', 'download', 'upload', 'warmup', 'ready'],
  );
});

test('a bundle without bytes does not upset it', () => {
  const events = [];
  const meter = new ProgressMeter((event) => events.push(event));
  meter.advance('download', 0 / 0);
  meter.advance('ready', 1);
  assertMonotone(events);
  assert.equal(events.at(-1).loaded, events.at(-1).total);
});

test('nobody has to listen', () => new ProgressMeter(undefined).advance('ready', 1));
