// Values that pages give, in plain JavaScript too: whether one is a number in a range, and how a message names any.

/** Whether a value is a number from `least` to `most`: NaN is none, and neither is a string of digits, which `+` would append. */
export function isWithin(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most;
}

/** A value for people, whatever it is: some have no string of their own. */
export function inWords(value: unknown): string {
  try {
    return String(value);
  } catch {
    return 'something without a name';
  }
}
