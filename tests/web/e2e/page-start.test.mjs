// The page's start: its progress, the size of a download, which model and device run, and what their settings do.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, openPage } from '../browser.mjs';
import { fileOf, publish, readBundle, withManifest } from '../bundle.mjs';
import { answered, openDemo, press, problem, says, settingsOf, top } from '../demo.mjs';
import { DIST, serve } from '../server.mjs';

let server;
let bundle;
before(async () => {
  server = await serve();
  bundle = await readBundle();
});
after(() => server?.close());

const named = (name) => withManifest(bundle, (manifest) => (manifest.name = name));

describe('the start', () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  test('one bar that never falls; the download in megabytes, engine and warm-up by name', async () => {
    // Watched from the page's first moment.
    const context = await browser.newContext({ locale: 'en-GB', serviceWorkers: 'block' });
    await context.addInitScript(() => {
      globalThis.seen = { stages: [], sizes: [], values: [] };
      const note = (list, value) => value && list.at(-1) !== value && list.push(value);
      new MutationObserver((records) => {
        for (const { target, addedNodes } of records) {
          if (target.id === 'stage-name') note(seen.stages, addedNodes[0]?.textContent);
          if (target.id === 'stage-size') note(seen.sizes, addedNodes[0]?.textContent);
          if (target.id === 'progress') note(seen.values, target.value);
        }
      }).observe(document, { childList: true, subtree: true, attributes: true });
    });
    const page = await context.newPage();
    await page.goto(`${server.url}/demo/`);
    await page.locator('#loading').waitFor({ state: 'hidden', timeout: 120_000 });
    const { stages, sizes, values } = await page.evaluate(() => seen);
    for (const stage of ['Downloading the model', 'Starting the engine', 'Testing your device', 'Ready'])
      assert.ok(stages.includes(stage), `${stage} is not among ${stages}`);
    assert.equal(await page.locator('.result progress').count(), 1);
    assert.deepEqual(
      values,
      values.toSorted((a, b) => a - b),
    );
    assert.equal(values.at(-1), 1);
    for (const size of sizes) assert.match(size, /^\d+\.\d of \d+\.\d MB$/);
    const { bytes } = fileOf(bundle, 'weights');
    const [loaded, , total] = sizes.at(-1).split(' ').map(Number);
    assert.ok(loaded === total && total >= Number((bytes / 1e6).toFixed(1)), `${sizes.at(-1)} for ${bytes} bytes`);
    await context.close();
  });

  test('a download over 10 MB is told first: nothing comes without a yes', async () => {
    const large = withManifest(bundle, ({ files }) => {
      files.find(({ role }) => role === 'weights').bytes = 12_000_000;
    });
    const address = publish(server, 'large', large);
    const { page, complaints, close } = await openDemo(browser, server);
    const asked = [];
    page.on('request', (request) => request.url().includes('/bundles/large/') && asked.push(request.url()));
    await page.locator('.settings summary').click();
    await page.locator('#model').selectOption('address');
    await page.locator('#model-address').fill(address);
    await press(page, 'Load');
    await says(page, 'ask-sentence', /download of 12\.\d MB/);
    await press(page, 'Not now');
    await page.getByRole('alert').waitFor();
    assert.match(await problem(page), /was not downloaded/);
    assert.deepEqual(asked, [`${server.url}${address}`]);
    await press(page, 'Load');
    await page.getByRole('button', { name: /^Download 12\.\d MB$/ }).click();
    // The manifest lies about the size, which only a download shows.
    await page.getByRole('alert').waitFor();
    assert.ok(asked.some((url) => url.endsWith('.safetensors')));
    await page.locator('#model').selectOption('');
    await press(page, 'Sample portrait');
    await answered(page);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a model by address, from a folder, by a drop, and the built-in one again', async () => {
    const address = publish(server, 'named', named('by-address'));
    const { page, complaints, close } = await openDemo(browser, server);
    await says(page, 'about', /^ferplus-small/);
    await press(page, 'Sample portrait');
    await answered(page);
    const scores = await page.locator('#bars .score').allTextContents();
    await page.locator('.settings summary').click();
    await page.locator('#model').selectOption('address');
    await page.locator('#model-address').fill(address);
    await press(page, 'Load');
    await says(page, 'about', /^by-address/);
    // What was shown is looked at anew.
    await answered(page);
    assert.deepEqual(await page.locator('#bars .score').allTextContents(), scores);
    assert.equal(settingsOf(page).model, address);
    await page.locator('#model').selectOption('files');
    await page.setInputFiles('#model-files', join(DIST, 'src/model'));
    await says(page, 'about', /^ferplus-small/);
    await page.evaluate(async (address) => {
      const transfer = new DataTransfer();
      const manifest = await (await fetch(address)).json();
      for (const name of ['model.json', ...manifest.files.map(({ path }) => path)])
        transfer.items.add(new File([await (await fetch(new URL(name, location.origin + address))).blob()], name));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }, address);
    await says(page, 'about', /^by-address/);
    await page.locator('#model').selectOption('');
    await says(page, 'about', /^ferplus-small/);
    assert.equal(settingsOf(page).model, undefined);
    await answered(page);
    assert.equal(await problem(page), '');
    assert.deepEqual(complaints, []);
    await close();
  });

  test("what was chosen is in the page's address, and a reload shows the same", async () => {
    const { page, close } = await openDemo(browser, server, { search: '?device=cpu&faces=false&rate=4&smoothing=0.5' });
    const shown = async () => ({
      device: await page.locator('#device-choice').inputValue(),
      faces: await page.locator('#find-faces').isChecked(),
      mirror: await page.locator('#mirror').isChecked(),
      rate: await page.locator('#rate-value').textContent(),
      smoothing: await page.locator('#smoothing-value').textContent(),
      threshold: await page.locator('#threshold-value').textContent(),
    });
    const before = { device: 'cpu', faces: false, mirror: true, rate: '4', smoothing: '0.5 s' };
    const { uncertainBelow } = JSON.parse(bundle.get('model.json')).calibration;
    assert.deepEqual(await shown(), { ...before, threshold: uncertainBelow.toFixed(2) });
    await page.locator('.settings summary').click();
    await page.locator('#threshold').fill('0.75');
    await page.locator('#find-faces').click();
    await page.locator('#mirror').click();
    const chosen = { device: 'cpu', rate: '4', smoothing: '0.5', threshold: '0.75', mirror: 'false' };
    assert.deepEqual(settingsOf(page), chosen);
    await page.reload();
    await page.locator('#loading').waitFor({ state: 'hidden' });
    const after = { ...before, faces: true, mirror: false, threshold: '0.75' };
    assert.deepEqual(await shown(), after);
    await close();
  });

  test('another device chosen while the model starts takes its place without a word', async () => {
    const weights = `/src/model/${fileOf(bundle, 'weights').path}`;
    let release;
    const held = new Promise((resolve) => (release = resolve));
    server.own.set(weights, async (response, head) => {
      await held;
      response.writeHead(200, head).end(bundle.get(fileOf(bundle, 'weights').path));
    });
    const { page, complaints, close } = await openPage(browser, `${server.url}/demo/?lang=en`, {
      serviceWorkers: 'block',
    });
    page.setDefaultTimeout(120_000);
    await says(page, 'stage-name', 'Downloading the model');
    await page.locator('.settings').evaluate((settings) => (settings.open = true));
    await page.locator('#device-choice').selectOption('cpu');
    release();
    server.own.delete(weights);
    await page.locator('#loading').waitFor({ state: 'hidden' });
    await press(page, 'Sample portrait');
    await answered(page);
    assert.equal(await problem(page), '');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('the threshold says what is uncertain, at once', async () => {
    const { page, close } = await openDemo(browser, server);
    await press(page, 'Sample portrait');
    await answered(page);
    assert.equal(await top(page), 'happiness');
    await page.locator('.settings summary').click();
    await page.locator('#threshold').fill('1');
    await says(page, 'top-name', 'uncertain');
    await page.locator('#threshold').fill('0.3');
    await says(page, 'top-name', 'happiness');
    await close();
  });

  test('without WebGPU it works, and says so', async () => {
    const { page, close } = await openDemo(browser, server);
    assert.match(await page.locator('#device').textContent(), /^CPU · wasm/);
    assert.match(await page.locator('#fallback').textContent(), /no WebGPU adapter/);
    await press(page, 'Sample portrait');
    await answered(page);
    await close();
  });

  test('no sentence is missing in either language; a Chinese page names expressions in Chinese', async () => {
    for (const [lang, name, button] of [
      ['en', 'happiness', 'Sample portrait'],
      ['zh', '高兴', '示例肖像'],
    ]) {
      const { page, complaints, close } = await openDemo(browser, server, { search: `?lang=${lang}` });
      const empty = await page
        .locator('[data-text]')
        .evaluateAll((places) => places.filter(({ textContent }) => !textContent).map(({ dataset }) => dataset.text));
      assert.deepEqual(empty, [], lang);
      await press(page, button);
      await answered(page);
      assert.equal(await top(page), name);
      assert.equal(await page.locator('nav [aria-current]').getAttribute('hreflang'), lang);
      assert.deepEqual(complaints, []);
      await close();
    }
  });
});

test('WebGPU is named with its adapter; the CPU takes over when it is chosen', async () => {
  const browser = await launch({ webgpu: true });
  try {
    const { page, complaints } = await openDemo(browser, server, { search: '?device=webgpu' });
    assert.match(await page.locator('#device').textContent(), /^WebGPU · .*swiftshader/i);
    assert.match(await page.locator('#adapter').textContent(), /swiftshader/i);
    await page.locator('.settings summary').click();
    await page.locator('#device-choice').selectOption('cpu');
    await says(page, 'device', /^CPU/);
    assert.deepEqual(settingsOf(page), { device: 'cpu' });
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
});
