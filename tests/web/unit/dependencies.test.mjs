// Every dependency has its reason in docs/dependencies.md, and nothing else stands there; lock files pin them all.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const page = await readFile(join(root, 'docs/dependencies.md'), 'utf8');

/** Manifests of the repository; none of what is installed or built. */
async function manifests(folder = '') {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory())
        return /^(node_modules|dist|target|shared|\..*)$/.test(entry.name) ? [] : manifests(path);
      return ['Cargo.toml', 'package.json', 'requirements.txt'].includes(entry.name) ? [path] : [];
    }),
  );
  return found.flat();
}

/** What a manifest names; a Rust package that is renamed counts by its own name. */
function named(path, text) {
  if (path.endsWith('.txt')) return [...text.matchAll(/^([\w.-]+)\s*[=<>]/gm)].map(([, name]) => name);
  if (path.endsWith('.json')) {
    const { dependencies, devDependencies, optionalDependencies, peerDependencies } = JSON.parse(text);
    return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies });
  }
  const sections = text.split(/^(?=\[)/m).filter((section) => /^\[.*dependencies\]/.test(section));
  return sections.flatMap((section) =>
    [...section.matchAll(/^([\w-]+)\s*=\s*(.*)$/gm)].map(
      ([, name, value]) => value.match(/package = "([^"]+)"/)?.[1] ?? name,
    ),
  );
}

test('each dependency has its reason on the page, and the page has no other', async () => {
  const paths = await manifests();
  for (const path of ['Cargo.toml', 'pkg-build/Cargo.toml', 'www/package.json', 'pkg-build/npm/package.json'])
    assert.ok(paths.includes(path), `${path} is not found: ${paths}`);
  const all = await Promise.all(paths.map(async (path) => named(path, await readFile(join(root, path), 'utf8'))));
  const names = [...new Set(all.flat())].sort();
  const rows = [...page.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)];
  assert.deepEqual([...new Set(rows.map(([, name]) => name))].sort(), names);
  for (const [, name, reason] of rows) assert.ok(reason.trim().length > 5, `${name} has no reason`);
});

test('the package that is published depends on nothing', async () => {
  const text = await readFile(join(root, 'pkg-build/npm/package.json'), 'utf8');
  assert.deepEqual(named('package.json', text), []);
});

test('what is installed is what the lock file says, to the byte', async () => {
  const { packages } = JSON.parse(await readFile(join(root, 'www/package-lock.json'), 'utf8'));
  const manifest = JSON.parse(await readFile(join(root, 'www/package.json'), 'utf8'));
  for (const [name, version] of Object.entries(manifest.devDependencies)) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned`);
    assert.equal(packages[`node_modules/${name}`]?.version, version, name);
  }
  for (const [path, { integrity, link }] of Object.entries(packages))
    assert.ok(path === '' || link || /^sha512-/.test(integrity), `${path} has no hash`);
});
