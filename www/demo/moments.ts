// What a time-line holds: moments with their scores, the last half minute of a stream, and all of them as a file.

/** One look, at a time in seconds. */
export interface Moment {
  time: number;
  /** The expression that scored highest. */
  expression: string;
  /** In the order of the model's expressions. */
  scores: readonly number[];
}

/** The moments of the last `seconds`, counted from the newest. */
export class RecentMoments {
  #moments: readonly Moment[] = [];

  constructor(readonly seconds: number) {}

  get list(): readonly Moment[] {
    return this.#moments;
  }

  add(moment: Moment): void {
    this.#moments = [...this.#moments, moment].filter(({ time }) => time > moment.time - this.seconds);
  }
}

/** A table for spreadsheets: a line a moment, a column an expression. */
export function toCsv(expressions: readonly string[], moments: readonly Moment[]): string {
  const lines = moments.map(({ time, expression, scores }) => [
    time.toFixed(3),
    cell(expression),
    ...scores.map((score) => score.toFixed(4)),
  ]);
  return [['seconds', 'expression', ...expressions.map(cell)], ...lines].map((line) => `${line.join(',')}\n`).join('');
}

/** The same for programs, with the model that saw it. */
export function toJson(model: string, expressions: readonly string[], moments: readonly Moment[]): string {
  return `${JSON.stringify({ model, expressions, moments }, null, 2)}\n`;
}

function cell(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The moment nearest to a time, if there is one. */
export function nearest<M extends { time: number }>(moments: readonly M[], time: number): M | undefined {
  return moments.reduce<M | undefined>(
    (best, moment) => (best && Math.abs(best.time - time) <= Math.abs(moment.time - time) ? best : moment),
    undefined,
  );
}
