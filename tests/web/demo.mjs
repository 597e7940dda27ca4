// The page, opened for a test, and what tests ask it most.

import { openPage } from './browser.mjs';

const TIMEOUT = 120_000;

/**
 * Opens the page, in English, and waits until its model is there, or is said not to be. Without `serviceWorkers` nothing is
 * kept for visits without a network, and nothing is fetched for that.
 */
export async function openDemo(browser, server, { search = '', ...options } = {}) {
  const address = `${server.url}/demo/${search}`;
  const opened = await openPage(browser, address, { locale: 'en-GB', serviceWorkers: 'block', ...options });
  opened.page.setDefaultTimeout(TIMEOUT);
  await opened.page.locator('#loading').waitFor({ state: 'hidden' });
  return opened;
}

export const top = (page) => page.locator('#top-name').textContent();
export const problem = (page) => page.locator('#problem').textContent();
/** Waits until a result stands there. */
export const answered = (page) => page.locator('#bars .is-top').waitFor();
/** Waits until the element of an id says something that matches. */
export const says = (page, id, pattern) => page.locator(`#${id}`).filter({ hasText: pattern }).waitFor();
export const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
/** The settings that are in the page's address. */
export const settingsOf = (page) => Object.fromEntries(new URL(page.url()).searchParams);

/** A picture file with the portrait at `[x, y, side]`s. */
export async function draw(page, width, height, places) {
  const url = await page.evaluate(
    async ({ width, height, places }) => {
      const portrait = await createImageBitmap(await (await fetch('portrait.jpg')).blob());
      const canvas = Object.assign(document.createElement('canvas'), { width, height });
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(120 125 130)';
      context.fillRect(0, 0, width, height);
      for (const [x, y, side] of places) context.drawImage(portrait, x, y, side, side);
      return canvas.toDataURL();
    },
    { width, height, places },
  );
  return { name: 'drawn.png', mimeType: 'image/png', buffer: Buffer.from(url.split(',')[1], 'base64') };
}

export const LETTER = { name: 'letter.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('Dear Madam') };
