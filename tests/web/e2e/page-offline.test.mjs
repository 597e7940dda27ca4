// The page without a network: installable, kept by its service worker, and told of a new version.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { answered, openDemo, press, problem, says, top } from '../demo.mjs';
import { DIST, serve } from '../server.mjs';

const KEPT = { serviceWorkers: 'allow' };
let browser;
before(async () => (browser = await launch({ camera: 'clip' })));
after(() => browser?.close());

test('once seen, it works when the server is gone: pictures, films and the camera', async () => {
  const server = await serve();
  const { page, complaints, close } = await openDemo(browser, server, KEPT);
  await says(page, 'installed', /without a network/);
  assert.equal(await page.locator('#requests').textContent(), '0');
  await server.close();
  await assert.rejects(fetch(`${server.url}/demo/`));
  await page.reload();
  await page.locator('#loading').waitFor({ state: 'hidden' });
  await press(page, 'Sample portrait');
  await answered(page);
  assert.equal(await top(page), 'happiness');
  await press(page, 'Sample film');
  await page.locator('#scrubber').waitFor();
  await press(page, 'Start camera');
  await answered(page);
  await page.locator('#card').click();
  await page.getByRole('dialog', { name: 'Model card' }).waitFor();
  assert.equal(await problem(page), '');
  // wasm threads and exact timers need these headers, which are kept with the page.
  assert.ok(await page.evaluate(() => crossOriginIsolated));
  assert.deepEqual(complaints, []);
  await close();
});

test('a new version is told, and taken when the visitor says so; what did not change is not fetched again', async () => {
  const server = await serve();
  const { page, close } = await openDemo(browser, server, KEPT);
  await says(page, 'installed', /without a network/);
  const fetched = [];
  const page2 = Buffer.from(
    (await readFile(join(DIST, 'demo/index.html'), 'utf8')).replace('<h1>cliper</h1>', '<h1>cliper 2</h1>'),
  );
  server.own.set('/demo/index.html', (response, head) => {
    fetched.push('index.html');
    response.writeHead(200, head).end(page2);
  });
  const style = await readFile(join(DIST, 'demo/style.css'));
  server.own.set('/demo/style.css', (response, head) => {
    fetched.push('style.css');
    response.writeHead(200, head).end(style);
  });
  const worker = await readFile(join(DIST, 'service-worker.js'), 'utf8');
  const updated = worker.replace(/("demo\/index\.html":")\w+/, '$1another');
  assert.notEqual(updated, worker);
  server.own.set('/service-worker.js', Buffer.from(updated));
  await page.reload();
  await page.locator('#update').waitFor();
  assert.equal(await page.locator('h1').textContent(), 'cliper');
  assert.deepEqual(fetched, ['index.html']);
  await press(page, 'Reload');
  await page.locator('h1').filter({ hasText: 'cliper 2' }).waitFor();
  assert.ok(await page.locator('#update').isHidden());
  await close();
  await server.close();
});

test('browsers find nothing in the way of installing it', async () => {
  const server = await serve();
  const profile = await mkdtemp(join(tmpdir(), 'cliper-profile-'));
  // Only a profile that lasts can have things installed.
  const context = await launch({ profile });
  try {
    const page = await context.newPage();
    await page.goto(`${server.url}/demo/`);
    const client = await context.newCDPSession(page);
    const { installabilityErrors } = await client.send('Page.getInstallabilityErrors');
    assert.deepEqual(installabilityErrors, []);
    const { errors, data } = await client.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
    assert.equal(JSON.parse(data).short_name, 'cliper');
  } finally {
    await context.close();
    await server.close();
    await rm(profile, { recursive: true, force: true });
  }
});
