// The page as a visitor meets it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, PORTRAIT } from '../browser.mjs';
import { answered, draw, LETTER, openDemo, problem, top } from '../demo.mjs';
import { breakEngine } from '../library.mjs';
import { half, serve } from '../server.mjs';

let server;
before(async () => (server = await serve()));
after(() => server?.close());

const open = (browser, options) => openDemo(browser, server, options);

describe('with a camera', () => {
  let browser;
  before(async () => (browser = await launch({ camera: 'clip' })));
  after(() => browser?.close());

  test("is off until asked; then the portrait's film shows happiness, live; then off again", async () => {
    const { page, complaints, close } = await open(browser);
    assert.equal(await page.locator('#video').evaluate((video) => video.srcObject), null);
    await page.getByRole('button', { name: 'Start camera' }).click();
    await answered(page);
    await page.waitForFunction(() => parseFloat(document.querySelector('#rate').textContent) > 0);
    await page.waitForFunction(() => document.querySelector('#top-name').textContent === 'happiness');
    assert.match(await page.locator('#latency').textContent(), /^[\d.]+ ms$/);
    assert.equal(await page.getByRole('status').textContent(), 'Apparent expression: happiness');
    await page.getByRole('button', { name: 'Stop camera' }).click();
    assert.equal(await page.locator('#video').evaluate((video) => video.srcObject), null);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a box on the face says the same, and follows the switch', async () => {
    const { page, complaints, close } = await open(browser);
    await page.getByRole('button', { name: 'Start camera' }).click();
    await page
      .locator('.face')
      .filter({ hasText: /^happiness \d+ %$/ })
      .waitFor();
    assert.equal(await page.locator('.face.is-shown').count(), 1);
    const parts = await page
      .locator('.face')
      .evaluate((face) => ['left', 'top', 'width', 'height'].map((side) => parseFloat(face.style[side])));
    assert.ok(
      parts.every((part) => part >= -10 && part <= 100),
      `${parts}`,
    );
    assert.ok(parts[2] > 30, 'the clip shows a large face');
    await page.getByRole('switch', { name: 'Find faces' }).click();
    await page.locator('.face').waitFor({ state: 'detached' });
    await answered(page);
    assert.ok(await page.locator('#video').evaluate((video) => video.srcObject !== null), 'the camera stays on');
    await page.getByRole('switch', { name: 'Find faces' }).click();
    await page.locator('.face').waitFor();
    await page.getByRole('button', { name: 'Stop camera' }).click();
    assert.equal(await page.locator('.face').count(), 0);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("a picture takes the camera's place, and turns it off", async () => {
    const { page, complaints, close } = await open(browser);
    await page.getByRole('button', { name: 'Start camera' }).click();
    await answered(page);
    await page.getByRole('button', { name: 'Sample portrait' }).click();
    await page.locator('#picture').waitFor();
    assert.equal(await page.locator('#video').evaluate((video) => video.srcObject), null);
    await answered(page);
    assert.equal(await problem(page), '');
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe('with pictures', () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  test('the sample portrait shows happiness, every expression and the descriptions that explain it', async () => {
    const { page, complaints, close } = await open(browser);
    await page.getByRole('button', { name: 'Sample portrait' }).click();
    await answered(page);
    assert.equal(await top(page), 'happiness');
    assert.equal(await page.locator('#bars li').count(), 8);
    const described = await page.locator('#descriptors li').allTextContents();
    assert.equal(described.length, 4);
    for (const line of described) assert.match(line, /^\w.{10,} · [a-z]+\d+ %$/);
    assert.match(await page.locator('#device').textContent(), /^CPU/);
    assert.match(await page.locator('#fallback').textContent(), /no WebGPU adapter/);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a file, a drop and a paste give the same', async () => {
    const { page, complaints, close } = await open(browser);
    const results = [];
    const note = async () => {
      await answered(page);
      results.push(await page.locator('#bars .score').allTextContents());
    };
    await page.setInputFiles('#file', PORTRAIT);
    await note();
    for (const type of ['drop', 'paste']) {
      await page.evaluate(async (type) => {
        const transfer = new DataTransfer();
        transfer.items.add(
          new File([await (await fetch('portrait.jpg')).blob()], 'portrait.jpg', { type: 'image/jpeg' }),
        );
        const event =
          type === 'drop'
            ? new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent(type, { clipboardData: transfer, bubbles: true });
        document.querySelector('#stage').dispatchEvent(event);
      }, type);
      await note();
    }
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('no face is said, and is no problem; without looking for faces, the picture has an answer', async () => {
    const { page, complaints, close } = await open(browser);
    await page.setInputFiles('#file', await draw(page, 300, 200, []));
    await page.waitForFunction(() => document.querySelector('#top-name').textContent === 'no face');
    assert.equal(await problem(page), '');
    assert.equal(await page.getByRole('status').textContent(), 'No face was found');
    await page.getByRole('switch', { name: 'Find faces' }).click();
    await answered(page);
    await page.getByRole('switch', { name: 'Find faces' }).click();
    await page.waitForFunction(() => document.querySelector('#top-name').textContent === 'no face');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('of two faces the larger one is shown; a click shows the other', async () => {
    const { page, complaints, close } = await open(browser);
    await page.setInputFiles(
      '#file',
      await draw(page, 700, 320, [
        [20, 20, 280],
        [420, 60, 200],
      ]),
    );
    await page.locator('.face').nth(1).waitFor();
    const widths = () =>
      page
        .locator('.face')
        .evaluateAll((faces) => faces.map((face) => [face.classList.contains('is-shown'), face.offsetWidth]));
    const before = (await widths()).toSorted((a, b) => b[1] - a[1]);
    assert.deepEqual(
      before.map(([isShown]) => isShown),
      [true, false],
    );
    await page.locator('.face:not(.is-shown)').click();
    assert.deepEqual(
      (await widths()).toSorted((a, b) => b[1] - a[1]).map(([isShown]) => isShown),
      [false, true],
    );
    assert.equal(await page.locator('#bars .is-top').count(), 1);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a file that is no picture is a sentence in place; the next picture works', async () => {
    const { page, complaints, close } = await open(browser);
    await page.setInputFiles('#file', LETTER);
    await page.getByRole('alert').waitFor();
    assert.match(await problem(page), /not a picture/);
    await page.setInputFiles('#file', PORTRAIT);
    await answered(page);
    assert.ok(await page.locator('#problem').isHidden());
    assert.deepEqual(complaints, []);
    await close();
  });

  test('says what it is, what it is not, and where it must not be used', async () => {
    const { page, close } = await open(browser);
    const text = await page.locator('footer').textContent();
    for (const sentence of [/never leave this page/, /Apparent expressions, not felt emotions/, /Article 5\(1\)\(f\)/])
      assert.match(text, sentence);
    const card = await page.locator('#card').evaluate((link) => link.href);
    assert.equal((await fetch(card)).status, 200, card);
    await close();
  });

  test('the model card opens in the page: its figures, its limits, no markup left; Escape closes it', async () => {
    const { page, complaints, close } = await open(browser);
    await page.locator('#card').click();
    const dialog = page.getByRole('dialog', { name: 'Model card' });
    await dialog.waitFor();
    const text = await dialog.innerText();
    for (const said of ['Data and terms', 'WAR', 'Training', 'AI Act', 'apparent'])
      assert.ok(text.includes(said), `${said} is not in:\n${text}`);
    assert.doesNotMatch(text, /^#|\|---|`/m);
    assert.ok((await dialog.getByRole('row').count()) > 8);
    for (const table of await dialog.locator('.wide').all()) {
      const [shown, whole] = await table.evaluate((wide) => [wide.clientHeight, wide.scrollHeight]);
      assert.equal(shown, whole, 'a table is cut');
    }
    const [wide, tall] = await dialog.evaluate((card) => [
      card.scrollWidth - card.clientWidth,
      card.getBoundingClientRect().bottom - innerHeight,
    ]);
    assert.ok(wide <= 0 && tall <= 0, `${wide} ${tall}`);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    await page.locator('#card').click();
    await dialog.getByRole('button', { name: 'Close' }).click();
    await dialog.waitFor({ state: 'hidden' });
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe('with something missing', () => {
  for (const [camera, sentence] of [
    ['denied', /was not allowed/],
    ['missing', /No camera was found/],
  ]) {
    test(`a ${camera} camera is a sentence in place; the portrait still works`, async () => {
      const browser = await launch({ camera });
      try {
        const { page, complaints } = await open(browser);
        await page.getByRole('button', { name: 'Start camera' }).click();
        await page.getByRole('alert').waitFor();
        assert.match(await problem(page), sentence);
        await page.getByRole('button', { name: 'Sample portrait' }).click();
        await answered(page);
        assert.ok(await page.locator('#problem').isHidden());
        assert.deepEqual(complaints, []);
      } finally {
        await browser.close();
      }
    });
  }

  test('a model that breaks off is a sentence in place; a click tries again', async () => {
    const browser = await launch();
    const [path] = [...(await modelFiles())].filter((path) => path.endsWith('.safetensors'));
    const bytes = Buffer.from(await (await fetch(server.url + path)).arrayBuffer());
    try {
      server.own.set(path, half(bytes));
      const { page, complaints } = await open(browser);
      await page.getByRole('alert').waitFor();
      assert.match(await problem(page), /half way: check the connection/);
      server.own.delete(path);
      await page.getByRole('button', { name: 'Sample portrait' }).click();
      await answered(page);
      assert.deepEqual(complaints, []);
    } finally {
      server.own.delete(path);
      await browser.close();
    }
  });

  async function modelFiles() {
    const { files } = await (await fetch(`${server.url}/src/model/model.json`)).json();
    return files.map(({ path }) => `/src/model/${path}`);
  }

  test('an engine that panics is a sentence in place; a click starts a new one', async (t) => {
    const browser = await launch();
    const mend = await breakEngine(server, '() => trap()');
    t.after(mend);
    try {
      const { page, complaints } = await open(browser);
      await page.getByRole('button', { name: 'Sample portrait' }).click();
      await page.getByRole('alert').waitFor();
      assert.match(await problem(page), /The engine stopped/);
      mend();
      await page.getByRole('button', { name: 'Sample portrait' }).click();
      await answered(page);
      assert.ok(await page.locator('#problem').isHidden());
      assert.deepEqual(complaints, []);
    } finally {
      await browser.close();
    }
  });

  test('a device that is not there is a sentence in place', async () => {
    const browser = await launch();
    try {
      const { page } = await open(browser, { search: '?device=webgpu' });
      await page.getByRole('alert').waitFor();
      assert.match(await problem(page), /no WebGPU adapter here/);
    } finally {
      await browser.close();
    }
  });
});
