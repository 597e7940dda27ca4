// After the compiler: makes few scripts of the modules of library and page, brings the page's one library, and writes into the service
// worker what the page consists of.

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const www = fileURLToPath(new URL('..', import.meta.url));
const dist = join(www, 'dist');
const library = join(dist, 'src');
/** What the library's entries share is a script of this name, with a hash. */
const SHARED = 'cliper-';
/** What the page asks for at every visit; of the engine's files it takes one. The library keeps the weights itself. */
const ALWAYS =
  /^demo\/(app\.js|.*\.(html|css|jpg|png|svg|webm|webmanifest))$|^vendor\/.*\.(js|css)$|^src\/worker\/worker\.js$|^src\/.*\/(model\.json|CARD\.md)$/;
const USED = /^src\/.*\.wasm$/;

mkdirSync(join(dist, 'vendor'), { recursive: true });
for (const [from, to] of [
  ['dist/uPlot.iife.min.js', 'uPlot.iife.min.js'],
  ['dist/uPlot.min.css', 'uPlot.min.css'],
  ['LICENSE', 'uPlot.LICENSE'],
]) {
  copyFileSync(join(www, 'node_modules/uplot', from), join(dist, 'vendor', to));
}

// Few scripts of the library's modules, in their own places: a page without a bundler waits for each level of their imports, seven in the
// page and three in the worker. What the entries share lies where the addresses of worker, engines and models are looked for from.
const options = {
  absWorkingDir: library,
  outdir: library,
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  logLevel: 'warning',
};
const { outputFiles } = await build({
  ...options,
  entryPoints: ['index.js', 'element/index.js'],
  splitting: true,
  chunkNames: `page/${SHARED}[hash]`,
  write: false,
  allowOverwrite: true,
});
for (const name of readdirSync(join(library, 'page')).filter((name) => name.startsWith(SHARED)))
  rmSync(join(library, 'page', name));
for (const { path, contents } of outputFiles) writeFileSync(path, contents);
// The worker's modules stay in reach of tests that put another engine's glue in between.
copyFileSync(join(library, 'worker/worker.js'), join(library, 'worker/modules.js'));
await build({ ...options, entryPoints: ['worker/worker.js'], outbase: '.', minify: true, allowOverwrite: true });

// One script for the page: seventy modules take a round trip for each level of their imports. The library finds its worker, engines
// and models where its own module would lie.
await build({
  entryPoints: [join(dist, 'demo/main.js')],
  outfile: join(dist, 'demo/app.js'),
  bundle: true,
  minify: true,
  sourcemap: true,
  charset: 'utf8',
  format: 'esm',
  define: { 'import.meta.url': 'here' },
  banner: { js: "const here = new URL('../src/page/files.js', import.meta.url).href;" },
  logLevel: 'warning',
});

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
