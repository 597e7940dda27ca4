// Tests that have a long form: bounded in ordinary runs, as long as SECURITY.md says with CLIPER_LONG=1.

export const isLong = process.env.CLIPER_LONG === '1';

/** How much of something a test does. */
export const amount = (ordinary, long) => (isLong ? long : ordinary);

/** For a test's time-out: nothing is measured by it, it only ends what hangs. */
export const PATIENCE = { timeout: amount(300_000, 3_600_000) };

/** Waits until `isSo` is, looked at again and again; fails with what it said last. */
export async function until(isSo, what, seconds = 30) {
  for (let tries = 0; tries < seconds * 10; tries++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what}, not within ${seconds} seconds`);
}
