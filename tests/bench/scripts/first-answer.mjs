// From the page's opening to its first answer: each start in a fresh browser, the sample picture asked for as soon as there is its
// button. `node tests/bench/scripts/first-answer.mjs [BUILD...]` prints JSON, of other builds than www/dist by turns; cargo pkg bench records
// the same.

import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, openPage } from '../../web/browser.mjs';
import { DIST, serve } from '../../web/server.mjs';

/** Milliseconds before each of the server's answers: none, as from a cache, and a round trip of a usual network. */
const DELAYS = [0, 50];
const STARTS = 5;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Medians of fresh starts, and what the page asked for; of several builds by turns. */
export async function firstAnswers(starts = STARTS, builds = [DIST]) {
  const results = [];
  for (const delay of DELAYS) {
    const measured = new Map(builds.map((build) => [build, []]));
    for (let start = 0; start < starts; start++)
      for (const build of builds) {
        const server = await serve({ folder: build, delay });
        measured.get(build).push(await firstAnswer(server));
        await server.close();
      }
    for (const [build, all] of measured) {
      const middle = (name) => Math.round(median(all.map((one) => one[name])));
      const { browser, requests } = all[0];
      results.push({
        ...(builds.length > 1 && { build: basename(build) }),
        delayMs: delay,
        starts,
        browser,
        requests,
        scriptsMs: middle('scripts'),
        readyMs: middle('ready'),
        firstAnswerMs: middle('answer'),
        firstAnswersMs: all.map(({ answer }) => Math.round(answer)),
      });
    }
  }
  return results;
}

/** One start: milliseconds since navigation began. */
async function firstAnswer(server) {
  const browser = await launch();
  try {
    const { page, complaints } = await openPage(browser, 'about:blank', { locale: 'en-GB', serviceWorkers: 'block' });
    let requests = 0;
    page.context().on('request', () => requests++);
    await page.addInitScript(() => {
      globalThis.times = {};
      addEventListener('DOMContentLoaded', () => {
        times.scripts = performance.now();
        document.querySelector('#sample').click();
        const look = () => {
          if (document.querySelector('#loading').hidden) times.ready ??= performance.now();
          if (document.querySelector('#bars .is-top')) times.answer ??= performance.now();
        };
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
      });
    });
    await page.goto(`${server.url}/demo/`);
    const times = await page.waitForFunction(() => times.answer && times, undefined, { timeout: 120_000 });
    if (complaints.length > 0) throw new Error(complaints.join('; '));
    return { ...(await times.jsonValue()), requests, browser: `Chromium ${browser.version()}` };
  } finally {
    await browser.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const processor = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  const builds = process.argv.slice(2);
  const pages = await firstAnswers(STARTS, builds.length > 0 ? builds : undefined);
  const machine = { processor, cores: availableParallelism(), load: loadavg().join(' ') };
  console.log(JSON.stringify({ machine, pages }, null, 2));
}
