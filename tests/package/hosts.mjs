// The hosts that the package is tried under: what each installs, builds and serves, as its users write it.

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
  'SvelteKit 2': {
    packages: ['@sveltejs/kit@2', '@sveltejs/adapter-static', '@sveltejs/vite-plugin-svelte', 'svelte@5', 'vite@8'],
    files: {
      'svelte.config.js':
        "import adapter from '@sveltejs/adapter-static';\nexport default { kit: { adapter: adapter() } };\n",
      'vite.config.js': "import { sveltekit } from '@sveltejs/kit/vite';\nexport default { plugins: [sveltekit()] };\n",
      'src/app.html':
        '<!doctype html><html><head>%sveltekit.head%</head><body><div>%sveltekit.body%</div></body></html>',
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
    build: [['vite', 'build', '--logLevel', 'warn']],
    public: 'static',
    folder: 'build',
  },
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
};
