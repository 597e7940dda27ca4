// The option `evidence`: what it may be, and where it has no place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedEvidence, refuseEvidence } from '../../../www/dist/src/shared/evidence.js';

test('evidence is asked for by true or by occlusion', () => {
  assert.equal(askedEvidence(undefined), undefined);
  assert.equal(askedEvidence(false), undefined);
  assert.equal(askedEvidence(true), 'best');
  assert.equal(askedEvidence('occlusion'), 'occlusion');
});

test('anything else is refused by name', () => {
  for (const wrong of ['sum', '', 1, null, {}]) {
    assert.throws(
      () => askedEvidence(wrong),
      (error) => error.code === 'invalid-argument' && error.message.includes(`evidence: ${String(wrong)}`),
    );
  }
});

test('frames take none, and the message says what does', () => {
  for (const options of [{}, { evidence: undefined }, { evidence: false }]) refuseEvidence(options, 'A stream');
  for (const evidence of [true, 'occlusion', 1]) {
    assert.throws(() => refuseEvidence({ evidence }, 'A stream'), {
      code: 'invalid-argument',
      message: /^A stream takes no evidence.*recognize\(/,
    });
  }
});
