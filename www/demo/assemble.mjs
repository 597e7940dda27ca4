// After the compiler: brings the page's one library, and writes into the service worker what the page consists of.

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const www = fileURLToPath(new URL('..', import.meta.url));
const dist = join(www, 'dist');
/** What the page asks for at every visit; of the engine's files it takes one. The library keeps the weights itself. */
const ALWAYS =
  /^(demo|vendor)\/.*\.(html|css|js|jpg|png|svg|webm|webmanifest)$|^src\/(?!element).*\.js$|^src\/.*\/(model\.json|CARD\.md)$/;
const USED = /^src\/.*\.wasm$/;

mkdirSync(join(dist, 'vendor'), { recursive: true });
for (const [from, to] of [
  ['dist/uPlot.iife.min.js', 'uPlot.iife.min.js'],
  ['dist/uPlot.min.css', 'uPlot.min.css'],
  ['LICENSE', 'uPlot.LICENSE'],
]) {
  copyFileSync(join(www, 'node_modules/uplot', from), join(dist, 'vendor', to));
}

const paths = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) =>
    join(entry.parentPath ?? entry.path, entry.name)
      .slice(dist.length + 1)
      .replaceAll('\\', '/'),
  )
  .sort();
const hashes = (pattern) =>
  Object.fromEntries(
    paths
      .filter((path) => pattern.test(path))
      .map((path) => [
        path,
        createHash('sha256')
          .update(readFileSync(join(dist, path)))
          .digest('hex')
          .slice(0, 16),
      ]),
  );
const source = readFileSync(new URL('service-worker.js', import.meta.url), 'utf8');
const files = JSON.stringify({ always: hashes(ALWAYS), used: hashes(USED) });
const written = source.replace('{ always: {}, used: {} }', () => files);
if (written === source) throw new Error('service-worker.js has no place for its files');
writeFileSync(join(dist, 'service-worker.js'), written);
