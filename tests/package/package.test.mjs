// The package as users meet it: packed, installed in an empty project, imported with and without a bundler.
// CLIPER_TARBALL and CHROMIUM come from `cargo pkg test`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, openPage, PORTRAIT } from '../web/browser.mjs';
import { serve } from '../web/server.mjs';

const tool = (name) => fileURLToPath(new URL(`../../www/node_modules/.bin/${name}`, import.meta.url));
const tsc = tool('tsc');

let app;
let browser;

before(async () => {
  app = await mkdtemp(join(tmpdir(), 'cliper-package-'));
  await cp(fileURLToPath(new URL('./app', import.meta.url)), app, { recursive: true });
  await cp(PORTRAIT, join(app, 'portrait.jpg'));
  npm('ci');
  npm('install', '--no-save', process.env.CLIPER_TARBALL);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await rm(app, { recursive: true, force: true });
});

test('the published types are enough for a strict compiler', () => {
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,esnext.disposable,dom,dom.iterable'];
  for (const resolution of ['bundler', 'nodenext']) {
    const module = resolution === 'bundler' ? 'es2022' : 'nodenext';
    execFileSync(tsc, [...options, '--module', module, '--moduleResolution', resolution, 'user.ts'], {
      cwd: app,
      stdio: 'inherit',
    });
  }
});

test('publint and arethetypeswrong have nothing to say of the tarball', () => {
  const { CLIPER_TARBALL } = process.env;
  execFileSync(tool('publint'), ['run', CLIPER_TARBALL, '--strict'], { cwd: app, stdio: 'inherit' });
  execFileSync(tool('attw'), [CLIPER_TARBALL, '--profile', 'esm-only'], { cwd: app, stdio: 'inherit' });
});

test('the bill of materials names every crate whose code is in a wasm file, as the lock file pins it', async () => {
  const folder = join(app, 'node_modules/cliper');
  const bill = JSON.parse(await readFile(join(folder, 'sbom.cdx.json'), 'utf8'));
  assert.deepEqual([bill.bomFormat, bill.specVersion], ['CycloneDX', '1.6']);
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  assert.equal(bill.metadata.component.purl, `pkg:npm/cliper@${version}`);
  const lock = await readFile(new URL('../../Cargo.lock', import.meta.url), 'utf8');
  const crates = bill.components.filter(({ name }) => name !== 'rust-std');
  for (const { name, version, hashes } of crates)
    assert.match(
      lock,
      new RegExp(
        `name = "${name}"\nversion = "${version.replaceAll('.', '\\.').replace('+', '\\+')}"\n.*\nchecksum = "${hashes[0].content}"`,
      ),
    );
  for (const file of await readdir(join(folder, 'dist/wasm'))) {
    const wasm = await readFile(join(folder, 'dist/wasm', file, 'cliper_bg.wasm'), 'latin1');
    const own = crates.filter(({ properties }) => properties.some(({ value }) => value === file));
    const known = new Set(own.map(({ name, version }) => `${name}-${version}`));
    // What a panic says where it was; of the standard library's own crates it has the version.
    const found = new Set([...wasm.matchAll(/crates\/([\w.+-]+)\/src\//g)].map(([, crate]) => crate));
    const missing = [...found].filter((crate) => !known.has(crate) && !/^(hashbrown|dlmalloc)-/.test(crate));
    assert.deepEqual(missing, [], file);
    assert.ok(found.size > 5, `${file}: ${[...found]}`);
    // Nothing says where it was built.
    assert.doesNotMatch(wasm, /\/(home|root|Users|tmp)\//, file);
  }
});

test('a page without a bundler recognises the portrait', () => recognises(app, 'plain.html'));

test('a page bundled by Vite recognises the portrait', async () => {
  execFileSync(join(app, 'node_modules/.bin/vite'), ['build', '--base', './', '--logLevel', 'warn'], {
    cwd: app,
    stdio: 'inherit',
  });
  await recognises(join(app, 'dist'), 'index.html');
});

async function recognises(folder, name) {
  const server = await serve({ folder });
  const { page, complaints, close } = await openPage(browser, `${server.url}/${name}`);
  try {
    const answer = await page.evaluate(() => globalThis.answer);
    assert.equal(answer.top.name, 'happiness');
    assert.deepEqual([answer.state, answer.face], ['recognized', 'happiness']);
    assert.ok(Math.abs(answer.sum - 1) < 1e-3, `scores add up to ${answer.sum}`);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
    await server.close();
  }
}

function npm(...args) {
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error'], { cwd: app, stdio: 'inherit' });
}
