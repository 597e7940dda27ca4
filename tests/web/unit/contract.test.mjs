// What Rust writes, TypeScript reads: the files under tests/contract are read by both.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { builtInFiles, detectorFiles } from '../../../www/dist/src/page/files.js';
import { ENGINE_CODES, PAGE_CODES } from '../../../www/dist/src/shared/errors.js';
import { VERSION } from '../../../www/dist/src/shared/version.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

test("the engine's error codes are the ones the library knows", async () => {
  const codes = JSON.parse(await readFile(`${root}tests/contract/error-codes.json`, 'utf8'));
  assert.deepEqual([...ENGINE_CODES], codes);
});

test('every code is kebab-case and stands for one thing', () => {
  const codes = [...ENGINE_CODES, ...PAGE_CODES];
  for (const code of codes) assert.match(code, /^[a-z]+(-[a-z]+)*$/);
  assert.equal(new Set(codes).size, codes.length);
});

test('the example predictions and the public types fit each other', () => {
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'esnext',
    '--moduleResolution',
    'bundler',
    '--resolveJsonModule',
    '--target',
    'es2022',
    '--types',
    '',
  ];
  try {
    execFileSync(
      `${root}www/node_modules/.bin/tsc`,
      [...options, 'tests/contract/prediction.ts', 'tests/contract/faces.ts', 'tests/contract/evidence.ts'],
      { cwd: root, encoding: 'utf8' },
    );
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test("the built-in model's files are the ones that bundlers are told of", async () => {
  const { files } = JSON.parse(await readFile(`${root}pkg-build/models/ferplus-small/model.json`, 'utf8'));
  assert.deepEqual([...builtInFiles().keys()].sort(), files.map(({ path }) => path).sort());
});

test("the detector's files are the ones that bundlers are told of", async () => {
  const { weights } = JSON.parse(await readFile(`${root}pkg-build/models/blazeface-short-range/model.json`, 'utf8'));
  assert.deepEqual([...detectorFiles().keys()], [weights.path]);
});

test('the version that page, worker and engine say is the one of the package and of the crate', async () => {
  const { version } = JSON.parse(await readFile(`${root}pkg-build/npm/package.json`, 'utf8'));
  const [, crate] = (await readFile(`${root}Cargo.toml`, 'utf8')).match(/^version = "(.+)"$/m);
  assert.deepEqual([VERSION, VERSION], [version, crate]);
});
