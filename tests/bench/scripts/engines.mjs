// Drives the benchmark's page in Chromium: node engines.mjs ADDRESS CHOICE, prints the page's JSON.

import { launch, openPage } from '../../web/browser.mjs';

const [address, choice] = process.argv.slice(2);
const browser = await launch({ webgpu: true });
try {
  const { page } = await openPage(browser, address);
  page.setDefaultTimeout(0);
  const progress = setInterval(async () => {
    const status = await page.textContent('#status').catch(() => '');
    if (status && status !== progress.last) console.error(status);
    progress.last = status;
  }, 2000);
  const results = await page.evaluate((choice) => run(choice), JSON.parse(choice));
  clearInterval(progress);
  console.log(JSON.stringify({ chromium: browser.version(), ...results }));
} finally {
  await browser.close();
}
