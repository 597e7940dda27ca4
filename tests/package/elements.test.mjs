// The elements in React, Vue and Svelte, as docs/elements.md says it: its own lines, built by Vite and run in a browser with a
// camera. Slow, so only with CLIPER_HOSTS (`cargo pkg test --hosts`).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, openPage } from '../web/browser.mjs';
import { serve } from '../web/server.mjs';

const { CLIPER_HOSTS, CLIPER_TARBALL } = process.env;

/** What stands around the lines of the documentation. */
const FRAMEWORKS = {
  jsx: {
    name: 'React',
    packages: ['react@19', 'react-dom@19'],
    file: 'App.jsx',
    main: `import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import App from './App.jsx';
createRoot(document.querySelector('#app')).render(createElement(App));
`,
    config: "export default { oxc: { jsx: { runtime: 'automatic' } } };\n",
  },
  vue: {
    name: 'Vue',
    packages: ['vue@3', '@vitejs/plugin-vue'],
    file: 'App.vue',
    main: "import { createApp } from 'vue';\nimport App from './App.vue';\ncreateApp(App).mount('#app');\n",
    config: (docs) =>
      `import vue from '@vitejs/plugin-vue';\nexport default { plugins: [${/With `(vue\(.*\))` in/.exec(docs)[1]}] };\n`,
  },
  svelte: {
    name: 'Svelte',
    packages: ['svelte@5', '@sveltejs/vite-plugin-svelte'],
    file: 'App.svelte',
    main: "import { mount } from 'svelte';\nimport App from './App.svelte';\nmount(App, { target: document.querySelector('#app') });\n",
    config:
      "import { svelte } from '@sveltejs/vite-plugin-svelte';\nexport default { plugins: [svelte({ configFile: false })] };\n",
  },
};
const INDEX = `<!doctype html><meta charset="utf-8"><title>elements</title><link rel="icon" href="data:,">
<div id="app"></div><script type="module" src="./main.js"></script>`;

describe('elements in frameworks', { skip: !CLIPER_HOSTS && 'only with --hosts' }, () => {
  let docs;
  let browser;
  before(async () => {
    docs = await readFile(new URL('../../docs/elements.md', import.meta.url), 'utf8');
    browser = await launch({ camera: 'clip' });
  });
  after(() => browser?.close());

  for (const [language, { name, packages, file, main, config }] of Object.entries(FRAMEWORKS)) {
    test(name, { skip: !(CLIPER_HOSTS === '1' || CLIPER_HOSTS?.includes(name)) }, async () => {
      const [, lines] = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(docs);
      const folder = await mkdtemp(join(tmpdir(), 'cliper-elements-'));
      const files = {
        [file]: lines,
        'main.js': main,
        'index.html': INDEX,
        'package.json': JSON.stringify({ name: 'elements', private: true, type: 'module' }),
        'vite.config.js': typeof config === 'function' ? config(docs) : config,
      };
      try {
        for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text);
        const install = ['install', '--no-audit', '--no-fund', '--loglevel', 'error'];
        execFileSync('npm', [...install, 'vite@8', ...packages, CLIPER_TARBALL], { cwd: folder, stdio: 'inherit' });
        execFileSync(join(folder, 'node_modules/.bin/vite'), ['build', '--base', './', '--logLevel', 'warn'], {
          cwd: folder,
          stdio: 'inherit',
        });
        await says(browser, join(folder, 'dist'));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});

/** Starts the camera, and waits for the sentence that the framework puts into the page. */
async function says(browser, folder) {
  const server = await serve({ folder });
  const { page, complaints, close } = await openPage(browser, server.url);
  try {
    await page.getByRole('button', { name: 'Start camera' }).click();
    const sentence = page.locator('p').filter({ hasText: /^The face now looks like happiness: .+\.$/ });
    await sentence.waitFor({ timeout: 120_000 });
    assert.deepEqual(complaints, []);
  } finally {
    await close();
    await server.close();
  }
}
