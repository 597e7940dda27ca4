// The page's camera: which one, how it is shown, its time-line, and what it says where there is none.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { INSECURE, launch } from '../browser.mjs';
import { answered, openDemo, press, problem, says } from '../demo.mjs';
import { serve } from '../server.mjs';

let server;
before(async () => (server = await serve()));
after(() => server?.close());

const isOn = (page) => page.locator('#video').evaluate((video) => video.srcObject !== null);

describe('with a camera', () => {
  let browser;
  before(async () => (browser = await launch({ camera: 'clip' })));
  after(() => browser?.close());

  test('a light is on while it is; its rate, that of the answers, and the latency by stage on a click', async () => {
    const { page, complaints, close } = await openDemo(browser, server);
    const light = page.getByText('Camera on');
    assert.ok(await light.isHidden());
    await press(page, 'Start camera');
    await answered(page);
    assert.ok(await light.isVisible());
    await says(page, 'camera-rate', /^[1-9][\d.]* a second$/);
    await says(page, 'rate', /^[1-9][\d.]* a second$/);
    assert.ok(await page.locator('#stages').isHidden());
    await page.locator('#latency').click();
    assert.match(await page.locator('#stages').textContent(), /pixels [\d.]+ ms, engine [\d.]+ ms, waiting [\d.]+ ms/);
    await press(page, 'Stop camera');
    assert.ok(await light.isHidden());
    assert.equal(await page.locator('#rate').textContent(), '–');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('the camera asks nothing of the network; what does is counted', async () => {
    const { page, close } = await openDemo(browser, server);
    await says(page, 'requests', /^0$/);
    await press(page, 'Start camera');
    await answered(page);
    await press(page, 'Sample portrait');
    await answered(page);
    await press(page, 'Sample film');
    await page.locator('#scrubber').waitFor();
    assert.equal(await page.locator('#requests').textContent(), '0');
    await page.locator('#card').click();
    await says(page, 'requests', /^1$/);
    await close();
  });

  test('is shown as in a mirror, box and all, unless switched', async () => {
    const { page, close } = await openDemo(browser, server);
    await press(page, 'Start camera');
    await page.locator('.face').waitFor();
    const seen = () =>
      page.evaluate(() => {
        const box = document.querySelector('.face').style;
        return {
          turned: getComputedStyle(document.querySelector('#video')).transform,
          middle: parseFloat(box.left) + parseFloat(box.width) / 2,
        };
      });
    const mirrored = await seen();
    assert.equal(mirrored.turned, 'matrix(-1, 0, 0, 1, 0, 0)');
    await page.getByRole('switch', { name: 'Mirror view' }).click();
    // The face of the clip is not in its middle, so its box crosses over.
    await page.waitForFunction((before) => {
      const { left, width } = document.querySelector('.face').style;
      return (parseFloat(left) + parseFloat(width) / 2 - 50) * (before - 50) < 0;
    }, mirrored.middle);
    assert.equal((await seen()).turned, 'none');
    await close();
  });

  test('the time-line grows, stands still when paused, goes on, and is saved as a table and as JSON', async () => {
    const { page, complaints, close } = await openDemo(browser, server);
    assert.ok(await page.locator('#timeline').isHidden());
    await press(page, 'Start camera');
    await page.locator('#plot canvas').waitFor();
    const saved = async (name) => {
      const download = page.waitForEvent('download');
      await press(page, name);
      return readFile(await (await download).path(), 'utf8');
    };
    const moments = async () => JSON.parse(await saved('Save as JSON')).moments;
    const atLeast = async (count) => {
      for (;;) {
        const found = await moments();
        if (found.length >= count) return found;
      }
    };
    await atLeast(5);
    await press(page, 'Pause');
    const paused = await moments();
    // Answers go on, the drawing does not.
    const before = await page.locator('#rate').textContent();
    assert.match(before, /a second/);
    await page.waitForTimeout(1000);
    assert.deepEqual(await moments(), paused);
    const { model, expressions } = JSON.parse(await saved('Save as JSON'));
    assert.equal(model, 'ferplus-small');
    const [head, ...lines] = (await saved('Save as CSV')).trimEnd().split('\n');
    assert.equal(head, `seconds,expression,${expressions.join(',')}`);
    assert.equal(lines.length, paused.length);
    const [seconds, expression, ...scores] = lines.at(-1).split(',');
    assert.equal(expression, paused.at(-1).expression);
    assert.ok(Math.abs(Number(seconds) - paused.at(-1).time) < 0.001);
    assert.ok(Math.abs(scores.reduce((sum, score) => sum + Number(score), 0) - 1) < 0.001);
    await press(page, 'Go on');
    const later = await atLeast(paused.length + 1);
    // What came while it was paused is there too.
    const after = later.filter(({ time }) => time > paused.at(-1).time);
    assert.ok(after[0].time - paused.at(-1).time < 1, 'a gap');
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a new rate is taken without stopping the camera', async () => {
    const { page, close } = await openDemo(browser, server, { search: '?faces=false' });
    await press(page, 'Start camera');
    await answered(page);
    await page.locator('.settings summary').click();
    await page.locator('#rate-choice').fill('1');
    await says(page, 'rate', /^1\.\d a second$|^0\.\d a second$/);
    assert.ok(await isOn(page));
    await close();
  });
});

test('of two cameras one is chosen by name', async () => {
  const browser = await launch({ camera: 'two' });
  try {
    const { page, complaints } = await openDemo(browser, server, { search: '?faces=false' });
    assert.ok(await page.locator('#cameras').isHidden());
    await press(page, 'Start camera');
    const open = () => page.evaluate(() => document.querySelector('#video').srcObject?.getVideoTracks()[0].label);
    const names = await page.locator('#cameras option').allTextContents();
    await page.locator('#cameras').waitFor();
    const [first, second] = await page.locator('#cameras option').allTextContents();
    assert.ok(first && second && first !== second, `${names}`);
    assert.equal(await open(), first);
    await page.locator('#cameras').selectOption({ label: second });
    await page.waitForFunction(
      (label) => document.querySelector('#video').srcObject?.getVideoTracks()[0].label === label,
      second,
    );
    await answered(page);
    await press(page, 'Stop camera');
    assert.ok(await page.locator('#cameras').isHidden());
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
});

describe('without a camera', () => {
  test('one that is busy, and a page that is not secure, are told apart', async () => {
    const browser = await launch({ camera: 'clip' });
    try {
      const busy = await openDemo(browser, server);
      await busy.page.evaluate(() => {
        navigator.mediaDevices.getUserMedia = async () => {
          throw new DOMException('in use', 'NotReadableError');
        };
      });
      await press(busy.page, 'Start camera');
      await busy.page.getByRole('alert').waitFor();
      assert.match(await problem(busy.page), /in use or does not answer: close other programs/);
      const insecure = await openDemo(browser, { url: server.url.replace('127.0.0.1', INSECURE) });
      assert.equal(await insecure.page.evaluate(() => isSecureContext), false);
      await press(insecure.page, 'Start camera');
      await insecure.page.getByRole('alert').waitFor();
      assert.match(await problem(insecure.page), /without encryption.* over https/);
      // Pictures need no secure page.
      await press(insecure.page, 'Sample portrait');
      await answered(insecure.page);
    } finally {
      await browser.close();
    }
  });
});
