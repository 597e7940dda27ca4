// Teaching the page an expression from a camera, its file, and a person's neutral face taken out of later answers.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { answered, openDemo, press, says, settingsOf } from '../demo.mjs';
import { isLong } from '../long.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch({ camera: 'clip' });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const names = (page) => page.locator('#bars .name').allTextContents();
const openPanel = (page) => page.locator('#expressions > summary').click();
const recorded = (page, kind) => says(page, `${kind}-count`, /^10 of 10$/);

/** A camera of the test's own: the portrait, which moves a little, at rest or with its eyes covered. */
async function standIn(page) {
  await page.evaluate(async () => {
    const portrait = await createImageBitmap(await (await fetch('portrait.jpg')).blob());
    const side = 480;
    const canvas = Object.assign(document.createElement('canvas'), { width: side, height: side });
    const context = canvas.getContext('2d');
    globalThis.face = 'rest';
    let frame = 0;
    setInterval(() => {
      const away = 3 * Math.sin(frame++ / 3);
      context.fillStyle = 'rgb(120 125 130)';
      context.fillRect(0, 0, side, side);
      if (globalThis.face === 'none') return;
      context.drawImage(portrait, away, away / 2, side, side);
      if (globalThis.face !== 'shown') return;
      context.fillStyle = 'rgb(60 40 40)';
      context.beginPath();
      context.ellipse(side * 0.52 + away, side * 0.7, side * 0.1, side * 0.13, 0, 0, 7);
      context.fill();
    }, 40);
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(25);
  });
}
const turn = (page, face) => page.evaluate((face) => (globalThis.face = face), face);

/** Records both, and learns. */
async function teach(page, name) {
  await page.locator('#taught-name').fill(name);
  await turn(page, 'rest');
  await page.waitForTimeout(300);
  await press(page, 'Record neutral');
  await recorded(page, 'neutral');
  await turn(page, 'shown');
  await page.waitForTimeout(300);
  await press(page, 'Record the expression');
  await recorded(page, 'shown');
  await press(page, 'Learn');
  await page.locator(`#vocabulary details[data-expression="${name}"]`).waitFor();
}

test('an expression is recorded, learned, answered, saved, removed and opened again', {
  timeout: 300_000,
}, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await openPanel(page);
  assert.ok(await page.locator('#record-neutral').isDisabled());
  assert.ok(await page.locator('#teach-source').isVisible());
  await standIn(page);
  await press(page, 'Start camera');
  await answered(page);
  assert.ok(await page.locator('#learn').isDisabled());
  const before = await names(page);
  await teach(page, 'astonished');
  await says(
    page,
    'teach-note',
    /“astonished” is answered now\. It wins \d+ of its own 10 frames, and takes at most \d+ %/,
  );
  assert.deepEqual(await names(page), [...before, 'astonished']);
  // It names what it was taught, and not the face at rest.
  await says(page, 'top-name', /^astonished$/);
  await turn(page, 'rest');
  await says(page, 'top-name', /^(?!astonished|–)/);
  // The time-line's file has it too.
  const saved = async (button) => {
    const download = page.waitForEvent('download');
    await button.click();
    const file = await download;
    return { name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8') };
  };
  const { text } = await saved(page.locator('#json'));
  assert.deepEqual(JSON.parse(text).expressions, [...before, 'astonished']);
  const file = await saved(page.getByRole('button', { name: 'Save to a file: astonished' }));
  assert.equal(file.name, 'astonished.json');
  const taught = JSON.parse(file.text);
  assert.equal(taught.format, 'cliper-expression');
  // A setting that makes the recognizer anew keeps it.
  await page.locator('.settings > summary').click();
  await page.locator('#device-choice').selectOption('cpu');
  await answered(page);
  assert.deepEqual(await names(page), [...before, 'astonished']);
  await press(page, 'Remove astonished');
  await page.waitForFunction((count) => document.querySelectorAll('#bars li').length === count, before.length);
  // By the button, and by a drop; what is none says so.
  const upload = { name: file.name, mimeType: 'application/json', buffer: Buffer.from(file.text) };
  await page.setInputFiles('#taught-files', upload);
  await page.locator('#bars [data-expression=astonished]').waitFor();
  await press(page, 'Remove astonished');
  await page.locator('#bars [data-expression=astonished]').waitFor({ state: 'detached' });
  await page.evaluate((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], 'astonished.json', { type: 'application/json' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, file.text);
  await page.locator('#bars [data-expression=astonished]').waitFor();
  await page.setInputFiles('#taught-files', { ...upload, name: 'other.json', buffer: Buffer.from('{}') });
  await says(page, 'vocabulary-note', /no saved expression: other\.json/);
  // Of another model: the engine says so, and what was answered stays.
  const foreign = JSON.stringify({ ...taught, name: 'foreign', backbone: '0'.repeat(64) });
  await page.setInputFiles('#taught-files', { ...upload, buffer: Buffer.from(foreign) });
  await says(page, 'vocabulary-note', /another model/);
  assert.deepEqual(await names(page), [...before, 'astonished']);
  // It is made one with another one: their scores add up. No link has anything of it.
  const shown = (name) =>
    page
      .locator(`#bars [data-expression="${name}"] .bar`)
      .evaluate(({ style }) => Number(/[\d.]+/.exec(style.transform)[0]));
  assert.equal(settingsOf(page).expressions, undefined);
  await turn(page, 'shown');
  await says(page, 'top-name', /^astonished$/);
  await page.locator('#vocabulary details[data-expression=astonished]').evaluate((part) => (part.open = true));
  await page.getByLabel('Make astonished one').selectOption({ label: 'happiness' });
  const both = 'astonished + happiness';
  await says(page, 'top-name', /^astonished \+ happiness$/);
  assert.deepEqual(await names(page), [...before.filter((name) => name !== 'happiness'), both]);
  await turn(page, 'rest');
  await page.waitForTimeout(3000);
  await says(page, 'top-name', /^astonished \+ happiness$/);
  assert.ok((await shown(both)) > 0.8, `${await shown(both)}`);
  const merged = page.locator(`#vocabulary details[data-expression="${both}"]`);
  assert.match(await merged.locator('summary').textContent(), /taught, 5 texts$/);
  assert.match(await merged.textContent(), /wins \d+ of its own 10 frames/);
  const again = await saved(page.getByRole('button', { name: 'Save to a file: astonished' }));
  assert.deepEqual(JSON.parse(again.text), taught);
  assert.ok(!settingsOf(page).expressions?.includes('astonished'), settingsOf(page).expressions);
  // Its file is not opened beside it: its text stands once among answers.
  await page.setInputFiles('#taught-files', upload);
  await says(page, 'vocabulary-note', /an expression of this name/);
  await press(page, 'Back to the model’s own');
  await page.locator('#bars [data-expression=astonished]').waitFor();
  assert.deepEqual(await names(page), [...before, 'astonished']);
  // Nothing of it outlives the page unless it was saved.
  await page.reload();
  await page.locator('#loading').waitFor({ state: 'hidden' });
  assert.deepEqual(await names(page), before);
  assert.deepEqual(complaints, []);
  await close();
});

test('what is too like the face at rest is told with a hint; a lesson is given up', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await openPanel(page);
  await press(page, 'Start camera');
  await answered(page);
  const focus = () => page.evaluate(() => document.activeElement.id);
  await page.locator('#record-neutral').press('Enter');
  await recorded(page, 'neutral');
  await says(page, 'teach-note', /at rest is recorded/);
  assert.equal(await focus(), 'record-neutral', 'the keyboard keeps its place');
  await press(page, 'Record the expression');
  await recorded(page, 'shown');
  await press(page, 'Learn');
  await says(page, 'teach-note', /name first/);
  await page.locator('#taught-name').fill('happiness');
  await press(page, 'Learn');
  await says(page, 'teach-note', /an expression of this name/);
  await page.locator('#taught-name').fill('the same');
  // Given up in its first steps: nothing is answered otherwise.
  await page.evaluate(() => {
    document.querySelector('#learn').click();
    document.querySelector('#learn-cancel').click();
  });
  await page.waitForFunction(() => !document.querySelector('#learn').disabled);
  assert.equal(await page.locator('#bars li').count(), 8);
  await press(page, 'Learn');
  const part = page.locator('#vocabulary details[data-expression="the same"]');
  await part.waitFor();
  await part.getByText('hard to tell').waitFor();
  assert.match(await part.textContent(), /wins [0-7] of its own 10 frames/);
  assert.deepEqual(complaints, []);
  await close();
});

test('frames without a face are waited for, and end with the camera', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openDemo(browser, server);
  await openPanel(page);
  await standIn(page);
  await press(page, 'Start camera');
  await answered(page);
  await turn(page, 'none');
  await says(page, 'top-name', /^no face$/);
  await press(page, 'Record neutral');
  await says(page, 'teach-note', /Put your face in the frame/);
  assert.equal(await page.locator('#neutral-count').textContent(), '');
  await turn(page, 'rest');
  await recorded(page, 'neutral');
  await press(page, 'Stop camera');
  assert.equal(await page.locator('#neutral-count').textContent(), '');
  assert.ok(await page.locator('#record-neutral').isDisabled());
  assert.deepEqual(complaints, []);
  await close();
});

test('a neutral face is looked at, taken out of later answers, and forgotten', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openDemo(browser, server, { search: '?smoothing=0' });
  assert.ok(await page.locator('#calibrate').isHidden());
  await standIn(page);
  await press(page, 'Start camera');
  await answered(page);
  const strength = () => page.locator('#descriptors .strength').first().textContent();
  await page.locator('#bars [data-expression=happiness] button').click();
  await page.waitForTimeout(2500);
  const before = await strength();
  await press(page, 'This is my neutral face');
  await says(page, 'calibration-note', /^Stay at rest: 3$/);
  await says(page, 'calibration-note', /^Stay at rest: 1$/);
  await says(page, 'calibration-note', /^1 neutral face is known/);
  await page.waitForFunction(
    (before) => document.querySelector('#descriptors .strength').textContent !== before,
    before,
  );
  await press(page, 'Forget it');
  await says(page, 'calibration-note', /^Forgotten/);
  await page.waitForFunction(
    (before) => document.querySelector('#descriptors .strength').textContent === before,
    before,
  );
  // Given up, and with nobody there.
  await press(page, 'This is my neutral face');
  await press(page, 'Cancel');
  await says(page, 'calibrate', /^This is my neutral face$/);
  assert.equal(await page.locator('#calibration-note').textContent(), '');
  await turn(page, 'none');
  await says(page, 'top-name', /^no face$/);
  await press(page, 'This is my neutral face');
  await says(page, 'calibration-note', /Nobody was seen/);
  await press(page, 'Stop camera');
  assert.ok(await page.locator('#calibrate').isHidden());
  assert.deepEqual(complaints, []);
  await close();
});

test('an expression is taught on WebGPU too', {
  timeout: 300_000,
  skip: !isLong && 'long: CLIPER_LONG=1',
}, async () => {
  const own = await launch({ webgpu: true, camera: 'clip' });
  const { page, complaints, close } = await openDemo(own, server, { search: '?device=webgpu' });
  assert.match(await page.locator('#device').textContent(), /WebGPU/);
  await openPanel(page);
  await standIn(page);
  await press(page, 'Start camera');
  await answered(page);
  await teach(page, 'astonished');
  await says(page, 'teach-note', /“astonished” is answered now\. It wins (9|10) of its own 10 frames/);
  await says(page, 'top-name', /^astonished$/);
  await turn(page, 'rest');
  await says(page, 'top-name', /^(?!astonished|–)/);
  assert.deepEqual(complaints, []);
  await close();
  await own.close();
});
