// The page for everyone: axe, the keyboard, screen readers, reduced motion, light and dark, and its layout in every state and size.
import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { answered, LETTER, openDemo, press, says } from '../demo.mjs';
import { serve } from '../server.mjs';

const AXE = fileURLToPath(new URL('../../../www/node_modules/axe-core/axe.min.js', import.meta.url));

let server;
let browser;
let folder;
before(async () => {
  server = await serve();
  browser = await launch({ camera: 'clip' });
  folder = process.env.SCREENSHOTS ?? (await mkdtemp(join(tmpdir(), 'cliper-layout-')));
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Brings the page to each of its states, one after the other, and looks at each. */
async function inEveryState(page, look) {
  await look('start');
  await press(page, 'Sample portrait');
  await answered(page);
  await look('picture');
  await page.locator('#bars .is-top button').click();
  await page.locator('#descriptors button').first().click();
  await look('evidence');
  await page.locator('.settings summary').click();
  await page.locator('#model').selectOption('address');
  await look('settings');
  await press(page, 'Sample film');
  await page.locator('#scrubber').waitFor();
  await look('film');
  await press(page, 'Start camera');
  await answered(page);
  await page.locator('#latency').click();
  await look('camera');
  await page.locator('#expressions > summary').click();
  await page.locator('#vocabulary summary').nth(1).click();
  await page.getByRole('checkbox', { name: 'Answer contempt' }).uncheck();
  await page.locator('#own-expressions').waitFor();
  await press(page, 'Record neutral');
  await says(page, 'neutral-count', /10/);
  await look('expressions');
  await press(page, 'This is my neutral face');
  await says(page, 'calibration-note', /known/);
  await look('calibrated');
  await page.setInputFiles('#file', LETTER);
  await page.getByRole('alert').waitFor();
  await look('problem');
  await page.locator('#card').click();
  await page.getByRole('dialog').waitFor();
  await look('card');
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds no violation in any state, ${colorScheme}`, async () => {
    const { page, close } = await openDemo(browser, server, { colorScheme });
    await page.evaluate(await readFile(AXE, 'utf8'));
    await inEveryState(page, async (state) => {
      const found = await page.evaluate(async () => {
        const { violations } = await axe.run(document, { resultTypes: ['violations'] });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' ')}`);
      });
      assert.deepEqual(found, [], state);
    });
    await close();
  });
}

for (const [size, viewport] of Object.entries({
  phone: { width: 375, height: 812 },
  tablet: { width: 768, height: 1024 },
  desktop: { width: 1440, height: 900 },
})) {
  for (const colorScheme of ['light', 'dark']) {
    test(`${size}, ${colorScheme}: nothing overflows or is cut, in any state`, async (t) => {
      const isPhone = size === 'phone';
      const { page, close } = await openDemo(browser, server, {
        viewport,
        colorScheme,
        hasTouch: isPhone,
        isMobile: isPhone,
      });
      await inEveryState(page, async (state) => {
        await page.screenshot({ path: join(folder, `${size}-${colorScheme}-${state}.png`), fullPage: true });
        const wide = await page.evaluate(() => {
          const width = document.documentElement.clientWidth;
          const outside = [...document.querySelectorAll('body *:not(.visually-hidden)')].filter((element) => {
            const { left, right, width: own } = element.getBoundingClientRect();
            const isClipped = element.closest('.stage, .plot, dialog');
            return own > 0 && (left < -0.5 || right > width + 0.5) && !isClipped;
          });
          return [document.documentElement.scrollWidth - width, outside.map(({ outerHTML }) => outerHTML.slice(0, 80))];
        });
        assert.deepEqual(wide, [0, []], state);
      });
      // Controls are large enough for a finger.
      for (const button of await page.locator('.controls button, .controls .button, .samples button').all())
        assert.ok((await button.boundingBox()).height >= 44);
      t.diagnostic(`pictures: ${folder}`);
      await close();
    });
  }
}

describe('without a mouse, a screen or motion', () => {
  test('everything can be reached with the keyboard, in the order of the page', async () => {
    const { page, close } = await openDemo(browser, server);
    for (const panel of await page.locator('main > details').all())
      await panel.evaluate((panel) => (panel.open = true));
    const reached = [];
    const last = 'card';
    while (reached.at(-1) !== last && reached.length < 90) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate(() => {
          const { id, dataset, tagName, lang, parentElement } = document.activeElement;
          return id || dataset.key || parentElement.dataset.expression || lang || tagName.toLowerCase();
        }),
      );
    }
    const expressions = ['neutral', 'happiness', 'surprise', 'sadness', 'anger', 'disgust', 'fear', 'contempt'];
    const words = ['word', 'compare'];
    const own = ['summary', ...expressions.flatMap((name) => [`${name}/answered`, name])];
    const teach = ['new-name', 'new-text', 'add-expression', 'taught-name', 'taught-files'];
    const settings = ['summary', 'model', 'device-choice', 'smoothing', 'threshold', 'rate-choice', 'balance'];
    const look = ['camera', 'file', 'sample', 'sample-film', 'find-faces', 'mirror'];
    const result = [...expressions, ...words];
    const all = ['en', 'zh-Hans', ...look, ...result, ...own, ...teach, ...settings, 'copy-notice', 'card'];
    assert.deepEqual(reached, all);
    await page.locator('#sample').press('Enter');
    await answered(page);
    // The evidence of a description too; the keyboard's place stays.
    await page.locator('#descriptors button').first().press('Enter');
    await page.locator('#evidence').waitFor();
    assert.ok(
      await page
        .locator('#descriptors button')
        .first()
        .evaluate((one) => one === document.activeElement),
    );
    await close();
  });

  test('a screen reader is told what is named, and no more than once in a while', async () => {
    const { page, close } = await openDemo(browser, server, { search: '?faces=false' });
    await page.evaluate(() => {
      globalThis.told = [];
      new MutationObserver(() => told.push(document.querySelector('#announcement').textContent)).observe(
        document.querySelector('#announcement'),
        { childList: true },
      );
    });
    await press(page, 'Start camera');
    await page.waitForFunction(() => document.querySelector('#announcement').textContent.endsWith('happiness'));
    await says(page, 'rate', /a second/);
    await page.waitForTimeout(1000);
    const told = await page.evaluate(() => globalThis.told);
    assert.ok(told.length <= 2 && told.every((sentence) => sentence.startsWith('Apparent expression: ')), `${told}`);
    await close();
  });

  test('nothing moves by itself where motion is to be reduced; the colours follow the system', async () => {
    const { page, close } = await openDemo(browser, server, { reducedMotion: 'reduce', colorScheme: 'light' });
    await press(page, 'Sample portrait');
    await answered(page);
    const duration = () => page.locator('.is-top .bar').evaluate((bar) => getComputedStyle(bar).transitionDuration);
    assert.equal(await duration(), '0s');
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    assert.equal(await duration(), '0.35s');
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await ground(), light);
    await close();
  });
});

test("the notice for others is there to be copied, as the library's own", async () => {
  const { page, close } = await openDemo(browser, server, { permissions: ['clipboard-read', 'clipboard-write'] });
  await press(page, 'Copy the text');
  await says(page, 'copy-notice', 'Copied');
  const [copied, own] = await page.evaluate(async () => [
    await navigator.clipboard.readText(),
    (await import('/src/index.js')).notice('en-GB'),
  ]);
  assert.equal(copied, own);
  const footer = await page.locator('footer').textContent();
  for (const said of [/Article 5\(1\)\(f\)/, /2 August 2026.*Article 50\(3\)/, /not what anyone feels/])
    assert.match(footer, said);
  await close();
});
