// The visitor's own words on the page: compared live, kept in the address, taken back; expressions edited; and their balance.
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
  await page.locator('.settings > summary').click();
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

const names = (page) => page.locator('#bars li').evaluateAll((rows) => rows.map(({ dataset }) => dataset.expression));
const part = (page, name) => page.locator(`#vocabulary details[data-expression="${name}"]`);
const score = (page, name) =>
  page
    .locator(`#bars [data-expression="${name}"] .bar`)
    .evaluate(({ style }) => Number(/[\d.]+/.exec(style.transform)[0]));

async function openPart(page, name) {
  await page.locator('#expressions').evaluate((panel) => (panel.open = true));
  await part(page, name).locator('summary').click();
}

test("an expression's texts are shown, added, removed, and the model's own come back", {
  timeout: 300_000,
}, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await press(page, 'Sample portrait');
  await answered(page);
  await openPart(page, 'happiness');
  const texts = () => part(page, 'happiness').locator('.words span').allTextContents();
  const own = await texts();
  assert.equal(own.length, 5);
  assert.ok(await page.locator('#own-expressions').isHidden());
  const [first] = own;
  await press(page, `Remove “${first}”`);
  await part(page, 'happiness').getByText('4 texts').waitFor();
  assert.deepEqual(await texts(), own.slice(1));
  // It stays open, and the description is gone from the answers.
  await page.locator('#bars [data-expression=happiness] button').click();
  await page.waitForFunction(() => document.querySelectorAll('#descriptors li').length === 4);
  assert.ok(!(await page.locator('#descriptors').textContent()).includes(first));
  await page.getByLabel('Another text for happiness').fill('the teeth can be seen');
  await page.keyboard.press('Enter');
  await part(page, 'happiness').getByText('5 texts').waitFor();
  // The keyboard stays where it was.
  assert.equal(
    await page.evaluate(() => document.activeElement.getAttribute('aria-label')),
    'Another text for happiness',
  );
  await page.locator('#descriptors').getByText('the teeth can be seen').waitFor();
  // A text that is there already, and one that can't be read, change nothing.
  await page.getByLabel('Another text for happiness').fill('the teeth can be seen');
  await page.keyboard.press('Enter');
  await says(page, 'vocabulary-note', /there already, for happiness/);
  await page.getByLabel('Another text for happiness').fill('口を開けている');
  await page.keyboard.press('Enter');
  await says(page, 'vocabulary-note', /English only/);
  assert.equal((await texts()).length, 5);
  await press(page, 'Back to the model’s own');
  await page.locator('#own-expressions').waitFor({ state: 'hidden' });
  assert.deepEqual(await texts(), own);
  assert.deepEqual(complaints, []);
  await close();
});

test('expressions are left out, made one, added and removed; a new recognizer answers in them too', {
  timeout: 300_000,
}, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await press(page, 'Sample portrait');
  await answered(page);
  const own = await names(page);
  await openPart(page, 'anger');
  await page.getByRole('checkbox', { name: 'Answer contempt' }).uncheck();
  await page.locator('#bars [data-expression=contempt]').waitFor({ state: 'detached' });
  assert.deepEqual(await names(page), own.slice(0, -1));
  await answered(page);
  await part(page, 'anger').getByLabel('Make anger one').selectOption({ label: 'happiness' });
  await page.locator('#bars [data-expression="anger + happiness"]').waitFor();
  await page.waitForFunction(() => document.activeElement.dataset.key === 'anger + happiness');
  await answered(page);
  assert.ok((await score(page, 'anger + happiness')) > 0.9, 'their scores add up');
  await page.locator('#new-name').fill('wink');
  await page.locator('#new-text').fill('one eye closed');
  await page.keyboard.press('Enter');
  await page.locator('#bars [data-expression=wink]').waitFor();
  assert.equal(await page.locator('#new-name').inputValue(), '');
  const mine = await names(page);
  // Another device is another recognizer, of the same model.
  await page.locator('.settings > summary').click();
  await page.locator('#device-choice').selectOption('cpu');
  await page.locator('#loading').waitFor({ state: 'hidden' });
  await answered(page);
  await page.waitForFunction((count) => document.querySelectorAll('#bars li').length === count, mine.length);
  assert.deepEqual(await names(page), mine);
  await openPart(page, 'wink');
  await press(page, 'Remove wink');
  await page.locator('#bars [data-expression=wink]').waitFor({ state: 'detached' });
  // Two at least are compared.
  for (const name of mine.slice(0, -3))
    await page.getByRole('checkbox', { name: `Answer ${name}`, exact: true }).uncheck();
  await page.waitForFunction(() => document.querySelectorAll('#bars li').length === 2);
  const last = page.locator('#vocabulary input:checked').first();
  await last.click();
  await says(page, 'vocabulary-note', /At least two/);
  assert.ok(await last.isChecked());
  await press(page, 'Back to the model’s own');
  await page.waitForFunction(() => document.querySelectorAll('#bars li').length === 8);
  assert.deepEqual(await names(page), own);
  assert.deepEqual(complaints, []);
  await close();
});

test('edited expressions stand in the address: a link brings them again, in both languages', {
  timeout: 300_000,
}, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  const linked = () => settingsOf(page).expressions;
  const own = await names(page);
  assert.equal(linked(), undefined);
  await openPart(page, 'anger');
  await page.getByRole('checkbox', { name: 'Answer contempt' }).uncheck();
  await page.locator('#bars [data-expression=contempt]').waitFor({ state: 'detached' });
  await part(page, 'anger').getByLabel('Make anger one').selectOption({ label: 'happiness' });
  await page.locator('#bars [data-expression="anger + happiness"]').waitFor();
  await openPart(page, 'sadness');
  const sad = await part(page, 'sadness').locator('.words span').allTextContents();
  await press(page, `Remove “${sad[0]}”`);
  await part(page, 'sadness').getByText('4 texts').waitFor();
  await page.locator('#new-name').fill('wink');
  await page.locator('#new-text').fill('one eye closed');
  await page.keyboard.press('Enter');
  await page.locator('#bars [data-expression=wink]').waitFor();
  const mine = await names(page);
  assert.ok(linked().length < 100, linked());
  const [link, words] = [new URL(page.url()), linked()];
  // Half of a link, and one of another model: the model's own are answered, a note says why, and the address is mended.
  const foreign = [words.slice(0, -4), words.replace(/^[^_]*/, 'another')];

  for (const [lang, merged, heading, note, wrong] of [
    ['zh', '愤怒 + 高兴', '您自己的表情', /已损坏或属于另一个模型/, foreign[0]],
    ['en', 'anger + happiness', 'Expressions of your own', /damaged, or another model’s/, foreign[1]],
  ]) {
    link.searchParams.set('lang', lang);
    link.searchParams.set('expressions', wrong);
    await page.goto(link.href);
    await says(page, 'vocabulary-note', note);
    assert.ok(await page.locator('#vocabulary-note').isVisible());
    assert.deepEqual(await names(page), own);
    assert.equal(linked(), undefined);
    link.searchParams.set('expressions', words);
    await page.goto(link.href);
    await page.locator('#bars [data-expression=wink]').waitFor();
    assert.deepEqual(await names(page), mine);
    assert.equal(await page.locator('#expressions h2').textContent(), heading);
    assert.equal(await page.locator('#bars [data-expression="anger + happiness"] .name').textContent(), merged);
    // What is linked is shown, and can be edited on.
    assert.deepEqual(await part(page, 'sadness').locator('.words span').allTextContents(), sad.slice(1));
    assert.ok(await page.locator('#vocabulary .is-out details[data-expression=contempt]').isVisible());
    assert.equal(page.url(), link.href);
    await page.locator('#sample').click();
    await page.locator('#bars .is-top[data-expression="anger + happiness"]').waitFor();
  }
  await press(page, 'Back to the model’s own');
  await page.locator('#bars [data-expression=wink]').waitFor({ state: 'detached' });
  assert.equal(linked(), undefined);
  assert.deepEqual(complaints, []);
  await close();
});
