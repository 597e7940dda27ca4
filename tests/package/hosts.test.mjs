// Every host: the tarball installed in an empty project, built, served, and the portrait recognised in a browser; a host
// without a page (Node, vitest, compilers) runs its commands. Slow: only `cargo pkg test --hosts` asks for them
// (CLIPER_HOSTS). A part of a name in CLIPER_HOSTS runs the hosts that have it. What passed is written to hosts.md, whose
// other rows stay.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { launch, openPage, PORTRAIT } from '../web/browser.mjs';
import { serve } from '../web/server.mjs';
import { HOSTS, script } from './hosts.mjs';

const run = promisify(execFile);
const { CLIPER_HOSTS, CLIPER_TARBALL } = process.env;
/** Milliseconds that a build may take: one that never ends is a failure of its own. */
const LONGEST = 300_000;
const ENV = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: '1' };
delete ENV.NODE_OPTIONS;
delete ENV.NODE_TEST_CONTEXT;

const isAsked = (name) => CLIPER_HOSTS === '1' || (CLIPER_HOSTS && name.includes(CLIPER_HOSTS));

const HERE = new URL('.', import.meta.url);

test('every host was run, and the README names it with the line that it needs', async () => {
  const table = await readFile(new URL('hosts.md', HERE), 'utf8');
  const readme = await readFile(new URL('../../pkg-build/npm/README.md', HERE), 'utf8');
  for (const [name, { line }] of Object.entries(HOSTS)) {
    assert.ok(table.includes(`\n| ${name} | `), `hosts.md has no row of ${name}: run it with --hosts`);
    const [product] = name.split(',');
    assert.ok(readme.includes(product), `the README does not name ${product}`);
    if (line) assert.ok(readme.includes(line), `the README lacks \`${line}\`, which ${name} needs`);
  }
});

describe('hosts', { skip: !CLIPER_HOSTS && 'only with --hosts' }, () => {
  let browser;
  const passed = new Map();
  before(async () => (browser = await launch()));
  after(async () => {
    await browser?.close();
    if (passed.size > 0) await writeTable(passed);
  });

  for (const [name, host] of Object.entries(HOSTS)) {
    test(name, { skip: !isAsked(name) }, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'cliper-host-'));
      try {
        const versions = await prepare(folder, host);
        for (const command of host.build ?? []) await bin(folder, command);
        if (host.copies)
          await cp(join(folder, 'node_modules/cliper/dist'), join(folder, 'dist/cliper'), { recursive: true });
        if (host.serve || host.folder) {
          const answer = host.serve
            ? await served(browser, folder, host.serve)
            : await shown(browser, folder, host.folder);
          assert.deepEqual(answer, { state: 'recognized', face: 'happiness' });
        }
        passed.set(name, { versions, line: host.line });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }

  test('a CDN: every file from another origin', { skip: !isAsked('a CDN') }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cliper-host-'));
    try {
      await prepare(folder, { packages: [], files: {} });
      const cdn = await serve({
        folder: join(folder, 'node_modules/cliper/dist'),
        isIsolated: false,
        headers: { 'Access-Control-Allow-Origin': '*' },
      });
      await mkdir(join(folder, 'site'));
      await cp(PORTRAIT, join(folder, 'site/portrait.jpg'));
      await writeFile(join(folder, 'site/main.js'), script());
      await writeFile(
        join(folder, 'site/index.html'),
        `<!doctype html><link rel="icon" href="data:,"><script type="importmap">{ "imports": { "cliper": "${cdn.url}/index.js" } }</script><script type="module" src="./main.js"></script>`,
      );
      const { page, close } = await openPage(browser, `${(await site(folder)).url}/`);
      assert.deepEqual(await page.evaluate(() => globalThis.answer), { state: 'recognized', face: 'happiness' });
      await close();
      await cdn.close();
      passed.set('a CDN', { versions: ['import map'] });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('an MV3 extension page', { skip: !isAsked('MV3') }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cliper-host-'));
    try {
      await prepare(folder, { packages: [], files: {} });
      const extension = join(folder, 'extension');
      await cp(join(folder, 'node_modules/cliper/dist'), join(extension, 'cliper'), { recursive: true });
      await cp(PORTRAIT, join(extension, 'portrait.jpg'));
      await writeFile(join(extension, 'main.js'), script().replace("'cliper'", "'./cliper/index.js'"));
      await writeFile(join(extension, 'index.html'), '<!doctype html><script type="module" src="main.js"></script>');
      await writeFile(join(extension, 'background.js'), '');
      const manifest = {
        manifest_version: 3,
        name: 'host',
        version: '1',
        background: { service_worker: 'background.js' },
        content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" },
      };
      await writeFile(join(extension, 'manifest.json'), JSON.stringify(manifest));
      const context = await launch({ extension, profile: join(folder, 'profile') });
      const [worker] = context.serviceWorkers().length
        ? context.serviceWorkers()
        : [await context.waitForEvent('serviceworker')];
      const page = await context.newPage();
      await page.goto(new URL('index.html', worker.url()).href);
      assert.deepEqual(await page.evaluate(() => globalThis.answer), { state: 'recognized', face: 'happiness' });
      await context.close();
      passed.set('an MV3 extension page', {
        versions: [`Chromium ${browser.version()}`],
        line: "script-src 'wasm-unsafe-eval'",
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

const sites = [];
after(() => Promise.all(sites.map((one) => one.close())));

async function site(folder) {
  const server = await serve({ folder: join(folder, 'site'), isIsolated: false });
  sites.push(server);
  return server;
}

/** An empty project with the tarball and what the host needs; gives the versions that came. */
async function prepare(folder, { packages, files, public: open, versions = [] }) {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  if (open) {
    await mkdir(join(folder, open), { recursive: true });
    await cp(PORTRAIT, join(folder, open, 'portrait.jpg'));
  }
  const install = ['install', '--no-audit', '--no-fund', '--loglevel', 'error', CLIPER_TARBALL, ...packages];
  await run('npm', install, { cwd: folder, env: ENV, timeout: LONGEST });
  const installed = packages.map(async (wanted) => {
    const name = wanted.replace(/(?<=.)@.*/, '');
    const { version } = JSON.parse(await readFile(join(folder, 'node_modules', name, 'package.json')));
    return `${name} ${version}`;
  });
  return [...versions, ...(await Promise.all(installed))];
}

async function bin(folder, [name, ...args]) {
  const command = name === 'node' ? process.execPath : join(folder, 'node_modules/.bin', name);
  await run(command, args, { cwd: folder, env: ENV, timeout: LONGEST, killSignal: 'SIGKILL' });
}

async function shown(browser, folder, name) {
  const server = await serve({ folder: join(folder, name), isIsolated: false });
  try {
    return await look(browser, `${server.url}/`);
  } finally {
    await server.close();
  }
}

/** Runs the host's own server, and ends it with all that it started. */
async function served(browser, folder, command) {
  const port = await freePort();
  const [name, ...args] = command(port);
  const options = { cwd: folder, env: ENV, stdio: 'ignore', detached: true };
  const server = spawn(join(folder, 'node_modules/.bin', name), args, options);
  try {
    const url = `http://127.0.0.1:${port}/`;
    for (let tries = 0; tries < 240; tries++) {
      const here = await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      );
      if (here) return await look(browser, url);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    throw new Error(`${name} did not begin to serve`);
  } finally {
    process.kill(-server.pid, 'SIGKILL');
  }
}

async function look(browser, url) {
  const { page, close } = await openPage(browser, url);
  try {
    // A development server may load the page again once it has seen what the page imports.
    await page.waitForFunction(() => globalThis.answer, null, { timeout: 120_000 });
    return await page
      .evaluate(() => globalThis.answer)
      .catch(async (error) => {
        if (!/navigation|destroyed/.test(error.message)) throw error;
        await page.waitForFunction(() => globalThis.answer, null, { timeout: 120_000 });
        return page.evaluate(() => globalThis.answer);
      });
  } finally {
    await close();
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function writeTable(passed) {
  const file = fileURLToPath(new URL('hosts.md', HERE));
  const before = await readFile(file, 'utf8').catch(() => '');
  const rows = new Map(
    before.split('\n').flatMap((row) => (/^\| (?!host|-)/.test(row) ? [[row.split(' | ')[0].slice(2), row]] : [])),
  );
  for (const [name, { versions, line }] of passed)
    rows.set(name, `| ${name} | ${versions.join(', ')} | ${line ? `\`${line}\`` : 'nothing'} |`);
  const text = `# Hosts that were run

Written by \`cargo pkg test --hosts\`: the packed tarball in an empty project, the portrait recognised in Chromium. Node and
vitest import it, list the model's expressions, calm scores and meet the error that a browser is missing; tsc checks a
user's strict file, and the package's types, as bundlers and as Node resolve them.

| host | versions | beside the README's first lines |
|---|---|---|
${[...rows.values()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).join('\n')}
`;
  await writeFile(file, text);
}
