import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAdapter } from '../../../www/dist/src/worker/adapter.js';

const adapter = (info) => ({ info: { vendor: '', architecture: '', device: '', description: '', ...info } });

test('an adapter has a name, and is software if it says so in any way', () => {
  assert.deepEqual(describeAdapter(adapter({ vendor: 'nvidia', architecture: 'ada' })), {
    name: 'nvidia ada',
    isSoftware: false,
  });
  assert.deepEqual(describeAdapter(adapter({})), { name: 'unnamed', isSoftware: false });
  assert.equal(describeAdapter(adapter({ vendor: 'google', architecture: 'swiftshader' })).isSoftware, true);
  assert.equal(describeAdapter(adapter({ vendor: 'acme', isFallbackAdapter: true })).isSoftware, true);
});
