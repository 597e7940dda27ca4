// What a page and its browser hold: heap after a collection, and the processes' resident memory.

import { readFile } from 'node:fs/promises';

const MEGABYTE = 2 ** 20;

/** Returns `held()`: MB of the page's JavaScript heap, of its process, and of the browser's GPU process. */
export async function watchMemory(browser, page) {
  const devtools = await browser.newBrowserCDPSession();
  const own = await page.context().newCDPSession(page);
  return async function held() {
    // Twice: what the first one finalizes, the second one frees.
    for (let times = 0; times < 2; times++) await own.send('HeapProfiler.collectGarbage');
    const { usedSize } = await own.send('Runtime.getHeapUsage');
    const { processInfo } = await devtools.send('SystemInfo.getProcessInfo');
    const resident = async (type) => {
      const all = await Promise.all(processInfo.filter((one) => one.type === type).map(({ id }) => residentOf(id)));
      return Math.max(...all);
    };
    return { heap: usedSize / MEGABYTE, page: await resident('renderer'), gpu: await resident('GPU') };
  };
}

/** MB of a process that lie in memory; none of one that has just ended. */
async function residentOf(id) {
  const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
  return Number(status.match(/^VmRSS:\s+(\d+) kB$/m)?.[1] ?? 0) / 1024;
}

/** By which share of their mean values rise in `span` steps, by the line of least squares through `[step, value]`s. */
export function growth(points, span) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [step, value] = [0, 1].map((place) => mean(points.map((point) => point[place])));
  const shared = points.reduce((sum, [x, y]) => sum + (x - step) * (y - value), 0);
  const spread = points.reduce((sum, [x]) => sum + (x - step) ** 2, 0);
  return ((shared / spread) * span) / value;
}
