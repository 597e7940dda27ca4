import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findAbilities, planCpu } from '../../../www/dist/src/page/cpu.js';

const all = { hasRelaxedSimd: true, isIsolated: true };

test('one thread takes the best file without shared memory', () => {
  assert.deepEqual(planCpu(1, all), { file: 'cpu-relaxed', threads: 1 });
  assert.deepEqual(planCpu(1, { ...all, hasRelaxedSimd: false }), { file: 'cpu', threads: 1 });
});

test('more threads are taken where they can be had', () => {
  assert.deepEqual(planCpu(3, all), { file: 'cpu-threads', threads: 3 });
});

test('without isolation or relaxed SIMD one thread computes, and the reason names the fix', () => {
  const open = planCpu(2, { ...all, isIsolated: false });
  assert.deepEqual([open.file, open.threads], ['cpu-relaxed', 1]);
  assert.match(open.fallback, /Cross-Origin-Opener-Policy.*Cross-Origin-Embedder-Policy/);
  const old = planCpu(2, { isIsolated: true, hasRelaxedSimd: false });
  assert.deepEqual([old.file, old.threads], ['cpu', 1]);
  assert.match(old.fallback, /relaxed SIMD/);
});

test('threads that are no number of threads are refused', () => {
  for (const threads of [0, -1, 1.5, NaN, 65, '2'])
    assert.throws(() => planCpu(threads, all), { code: 'invalid-argument' });
});

test('Node shares no memory among pages', () => {
  assert.equal(findAbilities().isIsolated, false);
});
