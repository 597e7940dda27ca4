// The time-line: every expression's score over the last half minute or a whole film, drawn by uPlot, saved as CSV or JSON.

import type uPlot from 'uplot';
import { byId, percent, save, setText } from './dom.js';
import { type Moment, nearest, RecentMoments, toCsv, toJson } from './moments.js';
import { nameOf, strings } from './strings.js';

/** Seconds of a stream. */
const LAST = 30;
const HEIGHT = 180;
/** Seconds from one mark to the next: the first that leaves room. */
const STEPS = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800];

/** Whose scores are drawn. */
export interface Drawn {
  model: string;
  expressions: readonly string[];
  /** A colour for each. */
  colours: readonly string[];
}

export class Timeline {
  readonly #section = byId('timeline', HTMLElement);
  readonly #place = byId('plot', HTMLElement);
  readonly #pause = byId('pause', HTMLButtonElement);
  #plot: uPlot | undefined;
  #drawn: Drawn | undefined;
  #recent = new RecentMoments(LAST);
  /** What is drawn: a film's moments, or a stream's, which stand still while it is paused. */
  #moments: readonly Moment[] = [];
  #film: { duration: number; onSeek: (time: number) => void; time: number } | undefined;
  #isPaused = false;

  constructor() {
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry?.contentRect.width ?? 0);
      if (width > 0) this.#plot?.setSize({ width, height: HEIGHT });
    }).observe(this.#place);
    // Colours are read once, when a plot is made.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot && this.#make());
    this.#pause.addEventListener('click', () => this.#setPaused(!this.#isPaused));
    byId('csv', HTMLButtonElement).addEventListener('click', () => {
      if (this.#drawn) save('time-line.csv', 'text/csv', toCsv(this.#drawn.expressions, this.#moments));
    });
    byId('json', HTMLButtonElement).addEventListener('click', () => {
      const { model, expressions } = this.#drawn ?? {};
      if (model && expressions) save('time-line.json', 'application/json', toJson(model, expressions, this.#moments));
    });
  }

  /** A stream begins; its moments are added one after the other. */
  stream(drawn: Drawn): void {
    this.#begin(drawn, []);
    this.#recent = new RecentMoments(LAST);
    this.#pause.hidden = false;
    setText('timeline-span', strings.lastSeconds);
    this.#make();
  }

  add(moment: Moment): void {
    this.#recent.add(moment);
    if (this.#isPaused) return;
    this.#moments = this.#recent.list;
    this.#plot?.setData(this.#data());
  }

  /** A film's moments, all at once; a press on the time-line goes to that place. */
  film(drawn: Drawn, moments: readonly Moment[], duration: number, onSeek: (time: number) => void): void {
    this.#begin(drawn, moments);
    this.#film = { duration, onSeek, time: 0 };
    this.#pause.hidden = true;
    setText('timeline-span', strings.wholeFilm);
    this.#make();
  }

  /** Where in the film its frame is. */
  at(time: number): void {
    if (!this.#film) return;
    this.#film.time = time;
    this.#plot?.redraw(false);
  }

  hide(): void {
    this.#section.hidden = true;
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  #begin(drawn: Drawn, moments: readonly Moment[]): void {
    this.#drawn = drawn;
    this.#moments = moments;
    this.#film = undefined;
    this.#section.hidden = false;
    setText('moment', '');
    this.#setPaused(false);
  }

  #setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#pause.setAttribute('aria-pressed', `${isPaused}`);
    setText('pause', isPaused ? strings.resumeTimeline : strings.pauseTimeline);
  }

  /** A stream's times are drawn backwards from its newest moment. */
  #data(): uPlot.AlignedData {
    const end = this.#film ? 0 : (this.#moments.at(-1)?.time ?? 0);
    const times = this.#moments.map(({ time }) => time - end);
    const lines = this.#drawn?.expressions.map((_, index) => this.#moments.map(({ scores }) => scores[index] ?? null));
    return [times, ...(lines ?? [])];
  }

  #make(): void {
    this.#plot?.destroy();
    const { colours = [] } = this.#drawn ?? {};
    const style = getComputedStyle(this.#place);
    const axis = {
      stroke: style.color,
      font: `12px ${style.fontFamily}`,
      grid: { stroke: style.borderTopColor, width: 1 },
      ticks: { show: false },
    };
    const span: [number, number] = this.#film ? [0, this.#film.duration] : [-LAST, 0];
    const Plot = (globalThis as unknown as { uPlot: typeof uPlot }).uPlot;
    const options: uPlot.Options = {
      width: this.#place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: false, range: span }, y: { range: [0, 1] } },
      axes: [
        { ...axis, size: 28, incrs: STEPS, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
        { ...axis, size: 46, values: (_, ticks) => ticks.map(percent), splits: () => [0, 0.5, 1] },
      ],
      series: [{}, ...colours.map((stroke) => ({ stroke, width: 1.75, points: { show: false } }))],
      hooks: {
        draw: [(plot) => this.#drawPlace(plot)],
        setCursor: [(plot) => this.#tell(plot.cursor.left ?? -1)],
      },
    };
    this.#plot = new Plot(options, this.#data(), this.#place);
    this.#plot.over.addEventListener('click', () => {
      const { left = -1 } = this.#plot?.cursor ?? {};
      if (left >= 0) this.#film?.onSeek(this.#plot?.posToVal(left, 'x') ?? 0);
    });
  }

  /** A line where the film is. */
  #drawPlace({ ctx, bbox, valToPos }: uPlot): void {
    if (!this.#film) return;
    const x = valToPos(this.#film.time, 'x', true);
    ctx.save();
    ctx.strokeStyle = getComputedStyle(this.#place).color;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  /** The moment under the pointer, in words. */
  #tell(left: number): void {
    const end = this.#film ? 0 : (this.#moments.at(-1)?.time ?? 0);
    const time = (this.#plot?.posToVal(left, 'x') ?? 0) + end;
    const moment = left < 0 ? undefined : nearest(this.#moments, time);
    const { expressions = [] } = this.#drawn ?? {};
    const score = moment?.scores[expressions.indexOf(moment.expression)] ?? 0;
    const told = moment && `${(moment.time - end).toFixed(1)} s: ${nameOf(moment.expression)} ${percent(score)}`;
    setText('moment', told ?? '');
  }
}
