import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { mergeFaceOptions } from '../../../www/dist/src/page/faces.js';
import { moveFaces } from '../../../www/dist/src/worker/faces.js';

const refused = (faces, part) =>
  assert.throws(
    () => mergeFaceOptions(faces),
    (error) => error.code === 'invalid-argument' && error.message.includes(part),
  );

test('a later wish goes before an earlier one, and nothing asked is nothing', () => {
  assert.equal(mergeFaceOptions(undefined, undefined), undefined);
  assert.equal(mergeFaceOptions(true, false), undefined);
  assert.deepEqual(mergeFaceOptions(undefined, true), {});
  assert.deepEqual(mergeFaceOptions({ maxFaces: 2, zoom: 2 }, { maxFaces: 3 }), { maxFaces: 3, zoom: 2 });
  assert.deepEqual(mergeFaceOptions({ maxFaces: 2 }, true), { maxFaces: 2 });
  assert.deepEqual(mergeFaceOptions({ maxFaces: 2 }, undefined), { maxFaces: 2 });
  assert.deepEqual(mergeFaceOptions({ maxFaces: 2 }, { maxFaces: undefined }), { maxFaces: 2 });
});

test("refuses what can't be, and names what can", () => {
  refused({ maxFaces: 0 }, 'a whole number from 1');
  refused({ maxFaces: 2.5 }, 'a whole number from 1');
  refused({ zoom: 5 }, 'from 1 to 4');
  refused({ minScore: NaN }, 'from 0 to 1');
  refused({ rate: '8' }, 'faces.rate');
  refused({ lostTimeout: -1 }, 'faces.lostTimeout');
  refused({ maximum: 3 }, 'maxFaces, minScore');
  refused({ toString: 3 }, 'no option');
  refused('all', 'true, false or an object');
  refused(null, 'true, false or an object');
});

test('faces of a part lie where they are in the picture', async () => {
  const frame = JSON.parse(await readFile(new URL('../../contract/faces.json', import.meta.url), 'utf8'));
  const [before] = frame.faces;
  const [face] = moveFaces(frame, { x: 100, y: -7 }).faces;
  assert.deepEqual(face.box, {
    x: before.box.x + 100,
    y: before.box.y - 7,
    width: before.box.width,
    height: before.box.height,
  });
  for (const [name, { x, y }] of Object.entries(before.keyPoints))
    assert.deepEqual(face.keyPoints[name], { x: x + 100, y: y - 7 });
  assert.deepEqual({ ...face, box: 0, keyPoints: 0 }, { ...before, box: 0, keyPoints: 0 });
  assert.equal(moveFaces(frame, { x: 0, y: 0 }), frame);
});
