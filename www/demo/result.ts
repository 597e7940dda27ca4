// The result as a visitor reads it: the expression named, a bar for each, and the descriptions that explain it.

import type { DescriptorSimilarity, Evidence, Prediction } from '../src/index.js';
import { byId, element, percent, setText, write } from './dom.js';
import { fill, nameOf, strings } from './strings.js';

/** Descriptions shown of all expressions. */
const SHOWN = 4;

interface Row {
  name: string;
  row: HTMLElement;
  button: HTMLButtonElement;
  bar: HTMLElement;
  score: HTMLElement;
}

interface Described extends DescriptorSimilarity {
  expression: string;
}

/** What is named, and whether it may be. */
export interface Named {
  top: { name: string; score: number };
  uncertain: boolean;
}

export class Result {
  readonly #bars = byId('bars', HTMLElement);
  readonly #back = byId('back-to-best', HTMLButtonElement);
  #rows: readonly Row[] = [];
  /** The expression of which all descriptions are shown; without one the best of all are. */
  #selected: string | undefined;
  /** Told of the visitor's own sentences in every answer. */
  onTexts: ((texts: Prediction['texts']) => void) | undefined;
  #explained: Pick<Prediction, 'expressions'> | undefined;
  /** Which descriptions are drawn, and how. */
  #drawn = '';
  /** The description whose evidence is drawn, and who draws it. */
  #pressed: string | undefined;
  #onEvidence: ((evidence: Evidence | undefined) => void) | undefined;

  constructor() {
    this.#back.addEventListener('click', () => this.#select(undefined));
  }

  /** A row for every expression that answers name; those that are there already stay. */
  expressions(names: readonly string[]): void {
    if (names.join('\n') === this.#rows.map(({ name }) => name).join('\n')) return;
    this.#selected = undefined;
    this.#rows = names.map((name) => createRow(name, () => this.#select(this.#selected === name ? undefined : name)));
    this.#bars.replaceChildren(...this.#rows.map(({ row }) => row));
  }

  /** The colour that stands for each expression, as it is on screen. */
  get colours(): string[] {
    return this.#rows.map(({ button }) => getComputedStyle(button, '::before').backgroundColor);
  }

  /** Whether bars move by themselves, because nothing else moves them. */
  still(isStill: boolean): void {
    this.#bars.classList.toggle('is-still', isStill);
  }

  /** Nothing to show: the result before belongs to what was shown before. */
  clear(): void {
    for (const { row, bar, score } of this.#rows) {
      bar.style.transform = '';
      score.textContent = '';
      row.classList.remove('is-top');
    }
    setText('top-name', '–');
    setText('top-score', '');
    this.explain(undefined);
  }

  noFace(): void {
    this.clear();
    setText('top-name', strings.noFace);
  }

  /** Scores in the order of the model's expressions, and what to name. */
  scores(scores: readonly number[], { top, uncertain }: Named): void {
    for (const [index, { row, bar, score, name }] of this.#rows.entries()) {
      const value = scores[index] ?? 0;
      const transform = `scaleX(${value.toFixed(3)})`;
      if (bar.style.transform !== transform) bar.style.transform = transform;
      write(score, percent(value));
      row.classList.toggle('is-top', name === top.name);
    }
    setText('top-name', uncertain ? strings.uncertain : nameOf(top.name));
    setText('top-score', percent(top.score));
  }

  /** The descriptions behind a prediction; `onEvidence` draws where one's match comes from. */
  explain(
    prediction: Pick<Prediction, 'expressions' | 'texts'> | undefined,
    onEvidence?: (evidence: Evidence | undefined) => void,
  ): void {
    this.#explained = prediction;
    this.#onEvidence = onEvidence;
    this.onTexts?.(prediction?.texts);
    this.#draw();
  }

  /** For screen readers; the caller keeps it rare. */
  announce(sentence: string): void {
    setText('announcement', sentence);
  }

  #select(name: string | undefined): void {
    this.#selected = name;
    this.#pressed = undefined;
    for (const { button, name: own } of this.#rows) button.setAttribute('aria-pressed', `${own === name}`);
    this.#draw();
  }

  #draw(): void {
    const described = (this.#explained?.expressions ?? []).flatMap(({ name, descriptors }): Described[] =>
      descriptors.map((descriptor) => ({ ...descriptor, expression: name })),
    );
    const order = ({ strength, similarity }: DescriptorSimilarity): number => strength ?? similarity;
    const chosen = described
      .filter(({ expression }) => this.#selected === undefined || expression === this.#selected)
      .sort((a, b) => order(b) - order(a))
      .slice(0, this.#selected === undefined ? SHOWN : undefined);
    const pressed = chosen.find(({ text }) => text === this.#pressed)?.evidence;
    this.#list(chosen);
    this.#onEvidence?.(pressed);
    const { best, allOf, evidence, evidenceShown } = strings;
    setText('descriptors-heading', this.#selected === undefined ? best : fill(allOf, { name: nameOf(this.#selected) }));
    byId('explained', HTMLElement).hidden = chosen.length > 0;
    this.#back.hidden = this.#selected === undefined;
    byId('evidence-hint', HTMLElement).hidden = !chosen.some((descriptor) => descriptor.evidence);
    setText('evidence-hint', pressed ? evidenceShown : evidence);
  }

  /** Where the same descriptions come in the same order, as they do in most answers of a stream, only their numbers change. */
  #list(chosen: readonly Described[]): void {
    const list = byId('descriptors', HTMLElement);
    const drawn = JSON.stringify([
      this.#selected,
      this.#pressed,
      ...chosen.map(({ text, expression, evidence }) => [text, expression, evidence !== undefined]),
    ]);
    if (drawn === this.#drawn && !chosen.some(({ evidence }) => evidence)) {
      for (const [index, descriptor] of chosen.entries()) {
        const number = list.children[index]?.querySelector('.strength');
        if (number) write(number, numberOf(descriptor));
      }
      return;
    }
    this.#drawn = drawn;
    const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
    list.replaceChildren(...chosen.map((descriptor) => this.#item(descriptor)));
    // What is drawn anew must not take the keyboard's place with it.
    if (focused >= 0) list.children[focused]?.querySelector('button')?.focus();
  }

  #item(descriptor: Described): HTMLElement {
    const { text, evidence, expression } = descriptor;
    const words = element('span', '', text);
    words.lang = 'en';
    const content = [
      element('span', '', words, ...(this.#selected ? [] : [' ', element('span', 'of', `· ${nameOf(expression)}`)])),
      element('span', 'strength', numberOf(descriptor)),
    ];
    if (!evidence) return element('li', '', ...content);
    const button = element('button', 'line', ...content);
    button.type = 'button';
    button.setAttribute('aria-pressed', `${text === this.#pressed}`);
    button.addEventListener('click', () => {
      this.#pressed = text === this.#pressed ? undefined : text;
      this.#draw();
    });
    return element('li', '', button);
  }
}

/** The number for people, or the similarity where the bundle has none. */
function numberOf({ similarity, strength }: DescriptorSimilarity): string {
  return strength === undefined ? similarity.toFixed(3) : percent(strength);
}

function createRow(name: string, onPress: () => void): Row {
  const bar = element('span', 'bar');
  const score = element('span', 'score');
  const label = element('span', 'name', nameOf(name));
  label.title = nameOf(name);
  const button = element('button', 'bar-row', label, element('span', 'track', bar), score);
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  button.addEventListener('click', onPress);
  const row = element('li', '', button);
  row.dataset.expression = name;
  return { name, row, button, bar, score };
}
