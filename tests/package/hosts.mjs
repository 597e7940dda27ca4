// The hosts that the package is tried under: what each installs, builds, runs and serves, as its users write it.

import { readFileSync } from 'node:fs';

const RECOGNISE = `
  const { state, faces } = await recognizer.recognize('/portrait.jpg');
  recognizer.dispose();
  return { state, face: faces[0]?.top.name };`;

/** A user's script, with more options for \`create\`. */
export const script = (options = '') => `import { ExpressionRecognizer } from 'cliper';
globalThis.answer = (async () => {
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu', faces: true${options} });${RECOGNISE}
})();
`;

const PAGE = (src) => `<!doctype html><meta charset="utf-8"><title>host</title><link rel="icon" href="data:,">
<script type="module" src="${src}"></script>`;

const ASSETS = ", assets: '/cliper/'";
/** The line of the README that Vite up to 7 needs while it serves for development. */
const UNBUNDLED = "export default { optimizeDeps: { exclude: ['cliper'] } };\n";

const vite = (version, config) => ({
  packages: [`vite@${version}`],
  files: {
    'index.html': PAGE('./main.js'),
    'main.js': script(),
    ...(config && { 'vite.config.js': config }),
  },
  public: 'public',
});
const viteBuild = (version) => ({ ...vite(version), build: [['vite', 'build', '--logLevel', 'warn']], folder: 'dist' });
const viteDev = (version, config) => ({
  ...vite(version, config),
  serve: (port) => ['vite', '--port', `${port}`, '--strictPort', '--host', '127.0.0.1'],
});

/** A bundler that writes \`dist/main.js\` beside a page of ours, and leaves the package's files where they are copied to. */
const bundled = (packages, build, options = ASSETS, more = {}) => ({
  packages,
  files: { 'main.js': script(options), 'dist/index.html': PAGE('./main.js'), ...more },
  build: [build],
  public: 'dist',
  folder: 'dist',
  copies: options === ASSETS,
});

const NEXT = {
  packages: ['next@16', 'react', 'react-dom'],
  files: {
    'app/layout.js': 'export default function L({ children }) { return <html><body>{children}</body></html>; }\n',
    'app/page.js': `'use client';
import { useEffect } from 'react';
import { ExpressionRecognizer } from 'cliper';
async function look() {
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu', faces: true });${RECOGNISE}
}
export default function Page() {
  useEffect(() => { globalThis.answer = look(); }, []);
  return null;
}
`,
  },
  public: 'public',
};
const nextBuild = (...flags) => ({
  ...NEXT,
  build: [['next', 'build', ...flags]],
  serve: (port) => ['next', 'start', '-p', `${port}`, '-H', '127.0.0.1'],
});

const SVELTEKIT = {
  packages: ['@sveltejs/kit@2', '@sveltejs/adapter-static@3', '@sveltejs/vite-plugin-svelte@7', 'svelte@5', 'vite@8'],
  files: {
    'svelte.config.js':
      "import adapter from '@sveltejs/adapter-static';\nexport default { kit: { adapter: adapter() } };\n",
    'vite.config.js': "import { sveltekit } from '@sveltejs/kit/vite';\nexport default { plugins: [sveltekit()] };\n",
    'src/app.html': '<!doctype html><html><head>%sveltekit.head%</head><body><div>%sveltekit.body%</div></body></html>',
    'src/routes/+page.js': 'export const prerender = true;\n',
    'src/routes/+page.svelte': `<script>
import { onMount } from 'svelte';
import { ExpressionRecognizer } from 'cliper';
async function look() {
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu', faces: true });${RECOGNISE}
}
onMount(() => { globalThis.answer = look(); });
</script>
`,
  },
  public: 'static',
};

const ANGULAR = {
  packages: [
    '@angular/cli@21',
    '@angular/build@21',
    // Angular's own packages need each other at the very same version, which npm alone does not find.
    ...['core', 'common', 'compiler', 'compiler-cli', 'platform-browser'].map((name) => `@angular/${name}@21.2.26`),
    'rxjs@7',
    'typescript@5.9',
  ],
  files: {
    'angular.json': JSON.stringify({
      version: 1,
      cli: { analytics: false },
      projects: {
        user: {
          projectType: 'application',
          root: '',
          architect: {
            build: {
              builder: '@angular/build:application',
              options: {
                browser: 'src/main.ts',
                index: 'src/index.html',
                tsConfig: 'tsconfig.json',
                outputPath: { base: 'dist', browser: '' },
                assets: [
                  { glob: '**/*', input: 'public' },
                  // The copy that `assets` names.
                  { glob: '**/*', input: 'node_modules/cliper/dist', output: 'cliper' },
                ],
              },
            },
            serve: { builder: '@angular/build:dev-server', options: { buildTarget: 'user:build' } },
          },
        },
      },
    }),
    'tsconfig.json': JSON.stringify({
      compilerOptions: { strict: true, target: 'ES2022', module: 'preserve', experimentalDecorators: true },
      files: ['src/main.ts'],
    }),
    'src/index.html':
      '<!doctype html><html><head><base href="/"><link rel="icon" href="data:,"></head><body><user-page></user-page></body></html>',
    'src/main.ts': `import { Component } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';
import { ExpressionRecognizer } from 'cliper';

@Component({ selector: 'user-page', template: '' })
class UserPage {
  constructor() {
    Object.assign(globalThis, { answer: this.look() });
  }
  async look() {
    const recognizer = await ExpressionRecognizer.create({ device: 'cpu', faces: true${ASSETS} });${RECOGNISE.replaceAll('\n', '\n  ')}
  }
}
void bootstrapApplication(UserPage);
`,
  },
  public: 'public',
  line: "assets: '/cliper/'",
};

/** What a script without a browser can do: import, list what the model names, calm scores, and learn what is missing. */
const WITHOUT_BROWSER = `import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CliperError, display, ExpressionRecognizer, ImageEncoder, smooth } from 'cliper';

export function names() {
  const path = createRequire(import.meta.url).resolve('cliper/model.json');
  return JSON.parse(readFileSync(path, 'utf8')).expressions.map(({ name }) => name);
}

export function shown() {
  const answer = { expressions: names().map((name) => ({ name, score: name === 'happiness' ? 1 : 0 })) };
  return display(undefined, answer, 0).top;
}

export const half = () => smooth([1, 0], [0, 1], Math.LN2, 1);

/** The code and the words of the error that \`create\` gives without a browser. */
export async function refusals() {
  const refused = [];
  for (const create of [() => ExpressionRecognizer.create(), () => ImageEncoder.create({ model: '/model.json' })]) {
    try {
      await create();
    } catch (error) {
      if (!(error instanceof CliperError)) throw error;
      refused.push([error.code, /OffscreenCanvas/.test(error.message)]);
    }
  }
  return { isSupported: ExpressionRecognizer.isSupported(), refused };
}
`;
/** The same expectations in a runner's own words; \`equal\` compares deeply. */
const EXPECTATIONS = `  equal(names().length, 8);
  equal(shown(), { name: 'happiness', score: 1 });
  equal(half().map((value) => Math.round(value * 1e6) / 1e6), [0.5, 0.5]);
  const refused = ['unsupported-browser', true];
  equal(await refusals(), { isSupported: false, refused: [refused, refused] });
`;

/** A strict compiler over a user's file: as bundlers resolve, and as Node does, the package's own types checked too. */
const tsc = (version) => {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    target: 'es2022',
    lib: ['es2022', 'dom', 'dom.iterable'],
    types: [],
  };
  const config = (module, moduleResolution) =>
    JSON.stringify({ compilerOptions: { ...compilerOptions, module, moduleResolution }, files: ['user.ts'] });
  return {
    packages: [`typescript@${version}`],
    files: {
      'user.ts': readFileSync(new URL('./app/user.ts', import.meta.url), 'utf8'),
      'bundler.json': config('esnext', 'bundler'),
      'nodenext.json': config('nodenext', 'nodenext'),
    },
    build: [
      ['tsc', '-p', 'bundler.json'],
      ['tsc', '-p', 'nodenext.json'],
    ],
  };
};

/** By name; `line`: what its users write beside the README's first lines. */
export const HOSTS = {
  'Vite 8, build': viteBuild(8),
  'Vite 8, dev': viteDev(8),
  'Vite 7, build': viteBuild(7),
  'Vite 7, dev': { ...viteDev(7, UNBUNDLED), line: "optimizeDeps: { exclude: ['cliper'] }" },
  'Vite 6, build': viteBuild(6),
  'Vite 6, dev': { ...viteDev(6, UNBUNDLED), line: "optimizeDeps: { exclude: ['cliper'] }" },
  'Vite 5, build': viteBuild(5),
  'Vite 5, dev': { ...viteDev(5, UNBUNDLED), line: "optimizeDeps: { exclude: ['cliper'] }" },
  'webpack 5': bundled(
    ['webpack@5', 'webpack-cli'],
    ['webpack', '--mode', 'production', '--entry', './main.js', '-o', 'dist'],
    '',
  ),
  'Rspack 2': bundled(
    ['@rspack/core@2', '@rspack/cli@2'],
    ['rspack', 'build', '--mode', 'production', '--entry', './main.js', '-o', 'dist'],
    '',
  ),
  'Next 16, build': nextBuild(),
  'Next 16, build --webpack': nextBuild('--webpack'),
  'Next 16, dev': { ...NEXT, serve: (port) => ['next', 'dev', '-p', `${port}`, '-H', '127.0.0.1'] },
  'SvelteKit 2, build': { ...SVELTEKIT, build: [['vite', 'build', '--logLevel', 'warn']], folder: 'build' },
  'SvelteKit 2, dev': {
    ...SVELTEKIT,
    serve: (port) => ['vite', 'dev', '--port', `${port}`, '--strictPort', '--host', '127.0.0.1'],
  },
  'Angular 21, build': { ...ANGULAR, build: [['ng', 'build', '--no-progress']], folder: 'dist' },
  'Angular 21, dev': { ...ANGULAR, serve: (port) => ['ng', 'serve', '--port', `${port}`, '--host', '127.0.0.1'] },
  esbuild: {
    ...bundled(['esbuild'], ['esbuild', 'main.js', '--bundle', '--format=esm', '--outdir=dist', '--log-level=warning']),
    line: "assets: '/cliper/'",
  },
  'Rollup 4': {
    ...bundled(
      ['rollup@4', '@rollup/plugin-node-resolve'],
      ['rollup', 'main.js', '-d', 'dist', '-f', 'es', '-p', 'node-resolve', '--silent'],
    ),
    line: "assets: '/cliper/'",
  },
  Bun: { ...bundled(['bun'], ['bun', 'build', 'main.js', '--outdir', 'dist']), line: "assets: '/cliper/'" },
  'Parcel 2': {
    packages: ['parcel@2'],
    files: { 'index.html': PAGE('./main.js'), 'main.js': script(ASSETS) },
    build: [['parcel', 'build', 'index.html', '--no-cache', '--log-level', 'error']],
    public: 'dist',
    folder: 'dist',
    copies: true,
    line: "assets: '/cliper/'",
  },
  'Node, import': {
    packages: [],
    files: {
      'user.js': WITHOUT_BROWSER,
      'main.js': `import { deepStrictEqual as equal } from 'node:assert/strict';
import { half, names, refusals, shown } from './user.js';
${EXPECTATIONS.replaceAll(/^ {2}/gm, '')}`,
    },
    build: [['node', 'main.js']],
    versions: [`node ${process.versions.node}`],
  },
  'vitest 4': {
    packages: ['vitest@4'],
    files: {
      'user.js': WITHOUT_BROWSER,
      'user.test.js': `import { expect, test } from 'vitest';
import { half, names, refusals, shown } from './user.js';
const equal = (actual, expected) => expect(actual).toEqual(expected);
test('a module that uses cliper', async () => {
${EXPECTATIONS}});
`,
    },
    build: [['vitest', 'run']],
  },
  'tsc 5.9': tsc('5.9'),
  'tsc 7': tsc('7'),
};
