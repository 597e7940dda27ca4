// Chromium for the browser tests: a fresh profile each, with or without a WebGPU adapter and a camera.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const { chromium } = createRequire(path('../../www/package.json'))('playwright-core');

export const PORTRAIT = path('../../www/demo/portrait.jpg');
const CLIP = path('../fixtures/portrait.mjpeg');

const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
// Without these flags `requestAdapter()` gives null on a machine without a GPU: that tests the path without WebGPU.
const WEBGPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  // Tests end its GPU process more often than it forgives a page.
  '--disable-gpu-process-crash-limit',
  '--disable-domain-blocking-for-3d-apis',
];
const CAMERA = {
  // The clip plays over and over, and the question is answered with yes.
  clip: [
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    `--use-file-for-fake-video-capture=${CLIP}`,
  ],
  // Two cameras with patterns of their own.
  two: ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream=device-count=2'],
  // There is a camera, and the question is answered with no.
  denied: ['--use-fake-device-for-media-stream', '--deny-permission-prompts'],
  // The question is answered with yes, but test machines have no camera.
  missing: ['--use-fake-ui-for-media-stream'],
};

/** A host of this machine that browsers take for a foreign one: without https it is not secure, as 127.0.0.1 is. */
export const INSECURE = 'insecure.test';

/** The browser's program. */
export const programOf = () => process.env.CHROMIUM ?? '/usr/bin/chromium';

/** What every test's browser is started with. */
export function flagsOf({ webgpu = false, camera } = {}) {
  const resolver = `--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`;
  return [...QUIET, resolver, ...(webgpu ? WEBGPU : []), ...(camera ? CAMERA[camera] : [])];
}

/**
 * Starts a browser. `webgpu`: give it a software adapter. `camera`: 'clip', 'two', 'denied' or 'missing'. `profile`: the folder of one
 * that lasts; a browser's context comes then. `extension`: the folder of one to load, which needs a profile. `log`: where the browser
 * writes its network log, which is whole once it has closed.
 */
export function launch({ webgpu = false, camera, extension, profile, log } = {}) {
  const executablePath = programOf();
  const args = [...flagsOf({ webgpu, camera }), ...(log ? [`--log-net-log=${log}`] : [])];
  if (!profile) return chromium.launch({ executablePath, args });
  if (!extension) return chromium.launchPersistentContext(profile, { executablePath, args });
  const loaded = [`--disable-extensions-except=${extension}`, `--load-extension=${extension}`, '--headless=new'];
  return chromium.launchPersistentContext(profile, { executablePath, headless: false, args: [...args, ...loaded] });
}

/**
 * A page in a profile of its own. `complaints` collects what the page did not handle: uncaught errors,
 * and requests that left for another host.
 */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    const host = new URL(request.url()).hostname;
    if (host !== '' && host !== '127.0.0.1') complaints.push(`request to ${request.url()}`);
  });
  // A busy machine has been seen to take more than Playwright's half minute.
  await page.goto(url, { timeout: 120_000 });
  return { page, complaints, close: () => context.close() };
}
