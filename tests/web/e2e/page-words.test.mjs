// The visitor's own words on the page: compared live, kept in the address, taken back; and the balance of expressions.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { answered, openDemo, press, says, settingsOf } from '../demo.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const strengths = (page) => page.locator('#words .strength').allTextContents();
/** Waits until every sentence has a strength. */
const compared = (page, count) =>
  page.waitForFunction(
    (count) =>
      document.querySelectorAll('#words .strength').length === count &&
      [...document.querySelectorAll('#words .strength')].every(({ textContent }) => /%/.test(textContent)),
    count,
  );

async function compare(page, text) {
  await page.locator('#word').fill(text);
  await press(page, 'Compare');
}

test('a sentence is compared at once, another joins it, one is taken back; a link brings them again', {
  timeout: 300_000,
}, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await press(page, 'Sample portrait');
  await answered(page);
  await compare(page, 'the teeth can be seen');
  await compared(page, 1);
  await compare(page, 'mouth corners pulled down');
  await compared(page, 2);
  const [teeth, shut] = (await strengths(page)).map((text) => Number.parseInt(text, 10));
  assert.ok(teeth > 80 && shut < 30, `${teeth} ${shut}`);
  assert.equal(await page.locator('#word').inputValue(), '');
  assert.equal(settingsOf(page).words, 'the teeth can be seen\nmouth corners pulled down');
  await page.reload();
  await page.locator('#loading').waitFor({ state: 'hidden' });
  await press(page, 'Sample portrait');
  await compared(page, 2);
  await page.getByRole('button', { name: 'Remove “mouth corners pulled down”' }).click();
  await compared(page, 1);
  assert.equal(settingsOf(page).words, 'the teeth can be seen');
  assert.deepEqual(complaints, []);
  await close();
});

test('what can not be read says why, and the others stay', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await press(page, 'Sample portrait');
  await answered(page);
  await compare(page, 'the mouth is open');
  await compared(page, 1);
  await compare(page, '口を開けている');
  await says(page, 'words-note', /English only/);
  assert.equal(await page.locator('#words li').count(), 1);
  assert.equal(await page.locator('#word').inputValue(), '口を開けている');
  assert.deepEqual(complaints, []);
  await close();
});

test('rare expressions are favoured by a slider, at once and in the address', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await press(page, 'Sample portrait');
  await answered(page);
  const before = await page.locator('#bars .score').allTextContents();
  await page.locator('.settings summary').click();
  await page.locator('#balance').fill('1');
  await page.waitForFunction(
    (before) =>
      [...document.querySelectorAll('#bars .score')].some(({ textContent }, at) => textContent !== before[at]),
    before,
  );
  assert.equal(settingsOf(page).balance, '1');
  assert.equal(await page.locator('#balance-value').textContent(), '1.00');
  assert.deepEqual(complaints, []);
  await close();
});
