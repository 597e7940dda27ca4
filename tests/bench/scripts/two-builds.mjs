// Another build of the library beside this one in one page: what their comparisons share.

import { cp, rm } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { DIST, serve } from '../../web/server.mjs';

/**
 * Runs `compare` in a page that has the other build, whose `www/dist` is `other`, under `/other/`, and prints what it gives as JSON.
 * `prepare` may add to the server what it needs.
 */
export async function printComparison(other, compare, argument, prepare = () => {}) {
  const copy = join(DIST, 'other');
  await cp(join(other, 'src'), join(copy, 'src'), { recursive: true });
  const server = await serve();
  const browser = await launch();
  const load = loadavg()[0];
  try {
    await prepare(server);
    const { page } = await openLibrary(browser, server);
    page.setDefaultTimeout(0);
    const results = await page.evaluate(compare, argument);
    console.log(JSON.stringify({ machine: cpus()[0].model, chromium: browser.version(), load, ...results }, null, 2));
  } finally {
    await browser.close();
    await server.close();
    await rm(copy, { recursive: true });
  }
}
