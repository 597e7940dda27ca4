import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDevices } from '../../../www/dist/src/page/devices.js';
import { probeAdapter } from '../../../www/dist/src/worker/adapter.js';

const hardware = { name: 'nvidia ada-lovelace', isSoftware: false };
const software = { name: 'google swiftshader', isSoftware: true };

test('auto takes a hardware adapter, with the CPU behind it', () => {
  assert.deepEqual(planDevices('auto', hardware), { devices: ['webgpu', 'cpu'] });
});

test('auto takes the CPU without an adapter or with a software one, and says why', () => {
  const without = planDevices('auto', null);
  assert.deepEqual(without.devices, ['cpu']);
  assert.match(without.fallback, /no WebGPU adapter/);
  const slow = planDevices('auto', software);
  assert.deepEqual(slow.devices, ['cpu']);
  assert.match(slow.fallback, /swiftshader.*software/);
});

test('what is insisted on is taken, or refused', () => {
  assert.deepEqual(planDevices('webgpu', software), { devices: ['webgpu'] });
  assert.deepEqual(planDevices('cpu', hardware), { devices: ['cpu'] });
  assert.throws(() => planDevices('webgpu', null), { code: 'device-unavailable' });
  assert.throws(() => planDevices('gpu', null), { code: 'invalid-argument' });
});

test('where there is no WebGPU at all, the probe finds no adapter', async () => {
  assert.equal(await probeAdapter(), null);
});
