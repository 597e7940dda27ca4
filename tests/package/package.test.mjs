// The package as users meet it: packed, installed in an empty project, imported with and without a bundler.
// CLIPER_TARBALL and CHROMIUM come from `cargo pkg test`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
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
