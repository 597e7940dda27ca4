// The custom elements, as a page without a bundler uses them: one script tag.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, openPage } from '../browser.mjs';
import { serve } from '../server.mjs';

const TIMEOUT = 120_000;
const AXE = fileURLToPath(new URL('../../../www/node_modules/axe-core/axe.min.js', import.meta.url));
let server;
before(async () => (server = await serve()));
after(() => server?.close());

/** A page with elements in it; `heard` collects their events by name. */
async function open(browser, body, script = true) {
  server.own.set(
    '/elements.html',
    Buffer.from(`<!doctype html><meta charset="utf-8"><title>elements</title><link rel="icon" href="data:,">
      <body>${body}<script>
        globalThis.heard = [];
        for (const element of document.querySelectorAll('cliper-camera, cliper-picture'))
          for (const name of ['ready', 'answer', 'expressionchange', 'failure'])
            element.addEventListener(name, ({ detail }) => heard.push({ id: element.id, name, detail }));
      </script>
      ${script ? '<script type="module" src="/src/element/index.js"></script>' : ''}`),
  );
  const opened = await openPage(browser, `${server.url}/elements.html`);
  opened.page.setDefaultTimeout(TIMEOUT);
  return opened;
}

const names = (page, id) => page.evaluate((id) => heard.filter((event) => event.id === id).map(({ name }) => name), id);
const isHeard = (page, id, name) =>
  page.waitForFunction(([id, name]) => heard.some((event) => event.id === id && event.name === name), [id, name]);
const workers = (page) => page.workers().length;

describe('<cliper-picture>', () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  test('shows what the face in it looks like, and tells the page; two share one recognizer', async () => {
    const { page, complaints, close } = await open(
      browser,
      `<cliper-picture id="a" src="/demo/portrait.jpg" alt="A portrait" device="cpu"></cliper-picture>
       <cliper-picture id="b" src="/demo/portrait.jpg" device="cpu" whole></cliper-picture>`,
    );
    await isHeard(page, 'a', 'answer');
    await isHeard(page, 'b', 'answer');
    assert.deepEqual(await names(page, 'a'), ['ready', 'answer']);
    const labels = await page.evaluate(() =>
      [...document.querySelectorAll('cliper-picture')].map(
        ({ shadowRoot }) => shadowRoot.querySelector('[part=label]').textContent,
      ),
    );
    for (const label of labels) assert.match(label, /^happiness \d+ %$/);
    const [faces, top] = await page.evaluate(() => [a.answer.faces[0].top.name, b.answer.top.name]);
    assert.deepEqual([faces, top], ['happiness', 'happiness']);
    assert.equal(workers(page), 1);
    assert.equal(await page.evaluate(() => a.shadowRoot.querySelector('img').alt), 'A portrait');
    // The box lies on the face, in shares of the picture.
    const box = await page.evaluate(() => a.shadowRoot.querySelector('[part=face]').style.width);
    assert.ok(parseFloat(box) > 50 && parseFloat(box) <= 110, box);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('attributes are properties, and a change is looked at; a file too', async () => {
    const { page, complaints, close } = await open(
      browser,
      '<cliper-picture id="a" src="/demo/portrait.jpg" device="cpu"></cliper-picture>',
    );
    await isHeard(page, 'a', 'answer');
    const read = await page.evaluate(() => {
      a.whole = true;
      return [a.src, a.device, a.whole, a.hasAttribute('whole'), a.mirror];
    });
    assert.deepEqual(read, ['/demo/portrait.jpg', 'cpu', true, true, false]);
    await page.waitForFunction(() => a.answer.top?.name === 'happiness');
    const twice = await page.evaluate(async () => {
      const before = heard.length;
      a.removeAttribute('src');
      a.whole = false;
      a.picture = await (await fetch('/demo/portrait.jpg')).blob();
      await new Promise((resolve) => a.addEventListener('answer', resolve, { once: true }));
      return heard.slice(before).map(({ name }) => name);
    });
    assert.deepEqual(twice, ['ready', 'answer']);
    assert.equal(await page.evaluate(() => a.answer.faces[0].top.name), 'happiness');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a page styles its parts, and puts its own notice into the slot', async () => {
    const { page, close } = await open(
      browser,
      `<style>cliper-picture::part(label) { background: rgb(1 2 3) }</style>
       <cliper-picture id="a" src="/demo/portrait.jpg" device="cpu"><b slot="notice">Our own words</b></cliper-picture>
       <div lang="zh"><cliper-picture id="b"></cliper-picture></div>`,
    );
    await isHeard(page, 'a', 'answer');
    const [ground, own, other] = await page.evaluate(() => [
      getComputedStyle(a.shadowRoot.querySelector('[part=label]')).backgroundColor,
      a.innerText.trim(),
      b.shadowRoot.querySelector('[part=notice]').textContent,
    ]);
    assert.equal(ground, 'rgb(1, 2, 3)');
    assert.match(own, /Our own words/);
    assert.match(other, /人工智能/);
    await close();
  });

  test('without the script, and where it fails, what stands between the tags is shown', async () => {
    const words = '<cliper-picture id="a" src="/missing.jpg" device="cpu"><p>Look at it yourself</p></cliper-picture>';
    const plain = await open(browser, words, false);
    assert.ok(await plain.page.getByText('Look at it yourself').isVisible());
    await plain.close();
    const failed = await open(browser, words);
    await isHeard(failed.page, 'a', 'failure');
    assert.ok(await failed.page.getByText('Look at it yourself').isVisible());
    assert.equal(await failed.page.evaluate(() => heard.at(-1).detail.code), 'missing-file');
    assert.equal(await failed.page.evaluate(() => a.state), 'failed');
    // Another picture is looked at again.
    await failed.page.evaluate(() => (a.src = '/demo/portrait.jpg'));
    await isHeard(failed.page, 'a', 'answer');
    assert.ok(await failed.page.getByText('Look at it yourself').isHidden());
    await failed.close();
  });

  test('the recognizer ends with the last element, and not when one is moved', async () => {
    const { page, close } = await open(
      browser,
      '<cliper-picture id="a" src="/demo/portrait.jpg" device="cpu"></cliper-picture><main></main>',
    );
    await isHeard(page, 'a', 'answer');
    await page.evaluate(async () => {
      document.querySelector('main').append(a);
      await new Promise((resolve) => a.addEventListener('answer', resolve, { once: true }));
    });
    await page.waitForTimeout(1500);
    assert.equal(workers(page), 1);
    await page.evaluate(() => a.remove());
    for (const worker of page.workers()) await worker.waitForEvent('close');
    assert.equal(workers(page), 0);
    await close();
  });

  test('what a framework set before the element was defined is taken', async () => {
    const { page, close } = await open(browser, '<cliper-picture id="a"></cliper-picture>', false);
    await page.evaluate(async () => {
      a.device = 'cpu';
      a.src = '/demo/portrait.jpg';
      await import('/src/element/index.js');
    });
    await isHeard(page, 'a', 'answer');
    assert.equal(await page.evaluate(() => a.getAttribute('src')), '/demo/portrait.jpg');
    await close();
  });
});

test('axe finds no violation in either element', async () => {
  const browser = await launch();
  try {
    const { page } = await open(
      browser,
      `<main><h1>elements</h1><cliper-picture id="a" src="/demo/portrait.jpg" alt="A portrait" device="cpu"></cliper-picture>
       <cliper-picture id="b" src="/missing.jpg" device="cpu"></cliper-picture><cliper-camera></cliper-camera></main>`,
    );
    await isHeard(page, 'a', 'answer');
    await isHeard(page, 'b', 'failure');
    await page.evaluate(() => (document.documentElement.lang = 'en'));
    await page.evaluate(await readFile(AXE, 'utf8'));
    const found = await page.evaluate(async () => (await axe.run(document)).violations.map(({ id }) => id));
    assert.deepEqual(found, []);
  } finally {
    await browser.close();
  }
});

describe('<cliper-camera>', () => {
  test('is off until asked; then each answer and each change, in a mirror; then off again', async () => {
    const browser = await launch({ camera: 'clip' });
    try {
      const { page, complaints } = await open(
        browser,
        '<cliper-camera id="a" device="cpu"><span slot="start">Look at me</span></cliper-camera>',
      );
      const source = () => page.evaluate(() => a.shadowRoot.querySelector('video').srcObject !== null);
      await page.getByText('Look at me').waitFor();
      assert.equal(workers(page), 0);
      assert.equal(await source(), false);
      assert.match(await page.evaluate(() => a.shadowRoot.querySelector('[part=notice]').textContent), /uses AI/);
      await page.getByRole('button').click();
      await isHeard(page, 'a', 'expressionchange');
      const change = await page.evaluate(() => heard.find(({ name }) => name === 'expressionchange').detail);
      assert.equal(change.to, 'happiness');
      assert.match(change.sentence, /^The face now looks like happiness: .+\.$/);
      const { turned, left, box, width } = await page.evaluate(() => ({
        turned: getComputedStyle(a.shadowRoot.querySelector('video')).transform,
        left: parseFloat(a.shadowRoot.querySelector('[part=face]').style.left),
        box: a.answer.faces[0].box,
        width: a.shadowRoot.querySelector('video').videoWidth,
      }));
      assert.equal(turned, 'matrix(-1, 0, 0, 1, 0, 0)');
      assert.ok(Math.abs(left - (100 * (width - box.x - box.width)) / width) < 5, `${left}`);
      await page.getByRole('button', { name: 'Stop camera' }).click();
      assert.equal(await source(), false);
      assert.equal(await page.evaluate(() => a.state), 'idle');
      const before = await page.evaluate(() => heard.length);
      await page.waitForTimeout(500);
      assert.equal(await page.evaluate(() => heard.length), before);
      // Taken out while it looks, it is off too.
      await page.evaluate(() => void a.start());
      await page.waitForFunction((before) => heard.slice(before).some(({ name }) => name === 'answer'), before);
      await page.evaluate(() => {
        globalThis.video = a.shadowRoot.querySelector('video');
        a.remove();
      });
      assert.equal(await page.evaluate(() => video.srcObject), null);
      assert.deepEqual(complaints, []);
    } finally {
      await browser.close();
    }
  });

  test('a camera that is denied is a sentence in place, and an event', async () => {
    const browser = await launch({ camera: 'denied' });
    try {
      const { page } = await open(browser, '<cliper-camera id="a" device="cpu"></cliper-camera>');
      await page.getByRole('button', { name: 'Start camera' }).click();
      await page.getByText('The camera was not allowed').waitFor();
      assert.equal(
        await page.evaluate(() => heard.find(({ name }) => name === 'failure').detail.code),
        'camera-denied',
      );
      assert.ok(await page.getByRole('button', { name: 'Start camera' }).isVisible());
    } finally {
      await browser.close();
    }
  });
});
