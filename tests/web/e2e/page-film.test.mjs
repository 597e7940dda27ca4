// The page's films, and the explanation of a picture: all descriptions of an expression, and where a match comes from.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { answered, draw, openDemo, press, problem, says, top } from '../demo.mjs';
import { DIST, serve } from '../server.mjs';

/** Four seconds, of which the second half shows the portrait. */
const HALVES = fileURLToPath(new URL('../../fixtures/films/halves.webm', import.meta.url));

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

describe('a film', () => {
  test('by file: its time-line, and each place of it by scrubbing', async () => {
    const { page, complaints, close } = await openDemo(browser, server, { search: '?faces=false' });
    await page.setInputFiles('#file', HALVES);
    await page.locator('#scrubber').waitFor();
    const at = async (time) => {
      await page.locator('#place').fill(`${time}`);
      await page.waitForFunction((time) => Math.abs(document.querySelector('#video').currentTime - time) < 0.1, time);
      await says(page, 'time', new RegExp(`^${time.toFixed(1)} / 4.0 s$`));
      return top(page);
    };
    assert.notEqual(await at(0.5), 'happiness');
    assert.equal(await at(3.5), 'happiness');
    assert.notEqual(await at(1), 'happiness');
    // A press on the time-line goes there too.
    const { width, height } = await page.locator('.u-over').boundingBox();
    await page.locator('.u-over').click({ position: { x: width * 0.8, y: height / 2 } });
    await says(page, 'top-name', 'happiness');
    assert.match(await page.locator('#moment').textContent(), /^3\.\d s: happiness \d+ %$/);
    const download = page.waitForEvent('download');
    await press(page, 'Save as CSV');
    const lines = (await readFile(await (await download).path(), 'utf8')).trimEnd().split('\n').slice(1);
    // A frame that a busy browser decodes late is not looked at twice.
    assert.ok(lines.length === 15 || lines.length === 16, `${lines.length} moments`);
    for (const line of lines) {
      const [seconds, expression] = line.split(',');
      if (Math.abs(seconds - 2) > 0.15) assert.equal(expression === 'happiness', Number(seconds) > 2, line);
    }
    assert.deepEqual(complaints, []);
    await close();
  });

  test('plays, and its face is followed; the camera button takes its place', async () => {
    const { page, complaints, close } = await openDemo(browser, server);
    await press(page, 'Sample film');
    await page.locator('#scrubber').waitFor();
    await page.locator('#place').fill('2');
    await page
      .locator('.face')
      .filter({ hasText: /^happiness \d+ %$/ })
      .waitFor();
    const left = () => page.locator('.face').evaluate(({ style }) => style.left);
    const before = await left();
    await press(page, 'Play');
    await page.waitForFunction((before) => document.querySelector('.face')?.style.left !== before, before);
    await press(page, 'Pause');
    assert.ok(await page.locator('#video').evaluate(({ paused }) => paused));
    await press(page, 'Sample portrait');
    await answered(page);
    assert.ok(await page.locator('#scrubber').isHidden());
    assert.ok(await page.locator('#timeline').isHidden());
    assert.equal(await problem(page), '');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('one that does not play is a sentence in place', async () => {
    const { page, close } = await openDemo(browser, server);
    await page.setInputFiles('#file', { name: 'film.webm', mimeType: 'video/webm', buffer: Buffer.from('no film') });
    await page.getByRole('alert').waitFor();
    assert.ok((await problem(page)).length > 30);
    await close();
  });
});

describe('the explanation', () => {
  test('an expression pressed shows all of its descriptions with strengths, and the best of all again', async () => {
    const { page, close } = await openDemo(browser, server);
    await press(page, 'Sample portrait');
    await answered(page);
    const { expressions } = JSON.parse(await readFile(join(DIST, 'src/model/model.json'), 'utf8'));
    const { descriptors } = expressions.find(({ name }) => name === 'surprise');
    await page.getByRole('button', { name: /^surprise/ }).click();
    assert.equal(await page.locator('#descriptors-heading').textContent(), 'All descriptions of surprise');
    const shown = await page
      .locator('#descriptors li')
      .evaluateAll((items) => items.map((item) => item.querySelector('[lang]').textContent));
    assert.deepEqual(shown.toSorted(), descriptors.map((one) => one.text ?? one).toSorted());
    for (const strength of await page.locator('#descriptors .strength').allTextContents())
      assert.match(strength, /^\d+ %$/);
    await press(page, 'Show the best of all');
    assert.equal(await page.locator('#descriptors li').count(), 4);
    await close();
  });

  test("a description pressed draws where its match comes from, over the face's own square", async () => {
    const { page, complaints, close } = await openDemo(browser, server);
    await page.setInputFiles('#file', await draw(page, 600, 400, [[300, 100, 250]]));
    await page.locator('.face').waitFor();
    const evidence = page.locator('#evidence');
    assert.ok(await evidence.isHidden());
    await page.locator('#descriptors button').first().click();
    assert.ok(await evidence.isVisible());
    // Around the face, whose box it holds nearly whole; a grid with both more and less than the mean in it.
    const [square, face] = [await evidence.boundingBox(), await page.locator('.face').boundingBox()];
    const middle = ({ x, y, width, height }) => [x + width / 2, y + height / 2];
    assert.ok(Math.hypot(middle(square)[0] - middle(face)[0], middle(square)[1] - middle(face)[1]) < face.width / 3);
    assert.ok(square.width > face.width * 0.9 && square.width < face.width * 1.6, `${square.width} ${face.width}`);
    const colours = await evidence.evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const cells = Array.from({ length: data.length / 4 }, (_, cell) => [...data.subarray(4 * cell, 4 * cell + 4)]);
      return {
        side: canvas.width,
        green: cells.filter(([red, green, , alpha]) => alpha > 9 && green > red).length,
        all: cells.length,
      };
    });
    assert.equal(colours.side, 6);
    assert.ok(colours.green > 0 && colours.green < colours.all, JSON.stringify(colours));
    await page.locator('#descriptors button').first().click();
    assert.ok(await evidence.isHidden());
    assert.deepEqual(complaints, []);
    await close();
  });
});
