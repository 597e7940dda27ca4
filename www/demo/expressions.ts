// The expressions that answers name, as a list that the visitor edits: which ones, by what texts, and what was taught.

import { CliperError, type ExpressionDescription, type TaughtExpression } from '../src/index.js';
import type { Recognizer } from './current-recognizer.js';
import { byId, element, percent, save, setText } from './dom.js';
import { onReady, recognizer, result, settings } from './page.js';
import { explain, fill, nameOf, strings } from './strings.js';
import {
  changed,
  descriptorsOf,
  type Expression,
  isSame,
  isTaken,
  merged,
  mergedName,
  ownerOf,
  readTaught,
  restored,
  type Vocabulary,
  vocabularyOf,
  without,
  withTaught,
} from './vocabulary.js';
import { addressOf, vocabularyIn } from './vocabulary-address.js';

/** Part of its own frames that an expression should win. */
const WELL_LEARNED = 0.8;

/** How what was taught comes among them. */
export interface Taught {
  /** Why an expression can't be taught by this name, as a sentence. */
  refuse(name: string): string | undefined;
  /** Answers it beside the others from now on; false where that can't be. */
  add(taught: TaughtExpression): Promise<boolean>;
  /** From files that were saved. */
  open(files: readonly Blob[]): void;
}

/** `again` looks once more at what stands still. */
export function connectExpressions(again: () => void): Taught {
  const list = byId('vocabulary', HTMLElement);
  const back = byId('own-expressions', HTMLButtonElement);
  const newName = byId('new-name', HTMLInputElement);
  const newText = byId('new-text', HTMLInputElement);
  /** What the visitor made of each model's expressions: it outlives the recognizer, and ends with the page. */
  const kept = new Map<string, Vocabulary>();
  let model = '';
  let own: Vocabulary = [];
  let vocabulary: Vocabulary = [];
  /** Changes are made one after the other, each to what the one before has left. */
  let last: Promise<unknown> = Promise.resolve();

  const say = (sentence: string): void => setText('vocabulary-note', sentence);

  const answerIn = async (engine: Recognizer, asked: Record<string, ExpressionDescription> | null): Promise<void> => {
    const { foreign } = await engine.setDescriptors(asked, {
      onProgress: (part) => say(part < 1 ? fill(strings.wordsComing, { part: percent(part) }) : ''),
    });
    say(foreign.length > 0 ? fill(strings.wordsForeign, { text: foreign.join('; ') }) : '');
    result.expressions(engine.info.expressions);
    again();
  };

  const keepInAddress = (): void => {
    const address = addressOf(vocabulary, own);
    settings.set('expressions', address ?? '');
    if (address === undefined) say(strings.linkFull);
  };

  const change = (edit: (vocabulary: Vocabulary) => Vocabulary): Promise<boolean> => {
    const done = last.then(async () => {
      try {
        const engine = await recognizer.get();
        const next = edit(vocabulary);
        await answerIn(engine, descriptorsOf(next, own));
        vocabulary = next;
        kept.set(model, next);
        keepInAddress();
        return true;
      } catch (error) {
        say(explain(error));
        return false;
      } finally {
        draw();
      }
    });
    last = done;
    return done;
  };

  const addText = (name: string, text: string): Promise<boolean> => {
    const owner = ownerOf(vocabulary, text);
    if (owner === undefined) return change((all) => changed(all, name, { texts: [...textsOf(all, name), text] }));
    say(fill(strings.textTwice, { name: nameOf(owner) }));
    return Promise.resolve(false);
  };

  const row = (expression: Expression): HTMLElement => {
    const { name, texts, taught, isAnswered } = expression;
    const shown = nameOf(name);
    const answered = element('input', '');
    answered.type = 'checkbox';
    answered.checked = isAnswered;
    answered.dataset.key = `${name}/answered`;
    answered.setAttribute('aria-label', fill(strings.answerIn, { name: shown }));
    answered.addEventListener('change', () => {
      if (!answered.checked && vocabulary.filter(({ isAnswered }) => isAnswered).length <= 2) {
        answered.checked = true;
        say(strings.twoAtLeast);
      } else void change((all) => changed(all, name, { isAnswered: answered.checked }));
    });
    const count = texts.length === 1 ? strings.oneText : fill(strings.someTexts, { count: texts.length });
    const parts = [...(taught.length > 0 ? [strings.taught] : []), ...(texts.length > 0 ? [count] : [])];
    const summary = element('summary', '', element('span', 'name', shown), element('span', 'small', parts.join(', ')));
    summary.dataset.key = name;
    const details = element('details', 'expression', summary, ...describe(expression));
    details.dataset.expression = name;
    return element('li', isAnswered ? '' : 'is-out', answered, details);
  };

  /** The texts of an expression, each to be removed, a line for another one, what was taught, and what else can be made of it. */
  const describe = ({ name, texts, taught }: Expression): HTMLElement[] => {
    const lines = texts.map((text) => {
      const words = element('span', '', text);
      words.lang = 'en';
      if (texts.length + taught.length === 1) return element('li', '', words);
      const remove = button('quiet', '×', `${name}/remove/${text}`, () => {
        void change((all) => changed(all, name, { texts: textsOf(all, name).filter((other) => other !== text) }));
      });
      remove.setAttribute('aria-label', fill(strings.wordsRemove, { text }));
      return element('li', '', words, remove);
    });
    const field = textField(fill(strings.newTextOf, { name: nameOf(name) }), `${name}/text`);
    const form = element('form', 'line', field, button('', strings.add, `${name}/add`));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text !== '') void addText(name, text);
    });
    return [
      ...taught.flatMap(aboutTaught),
      ...(lines.length > 0 ? [element('ul', 'words', ...lines)] : []),
      form,
      element('div', 'buttons', ...taught.map(keeping), mergeChoice(name), ...removal(name)),
    ];
  };

  const mergeChoice = (name: string): HTMLElement => {
    const select = element('select', '', new Option(strings.mergeWith, ''));
    select.setAttribute('aria-label', fill(strings.mergeLabel, { name: nameOf(name) }));
    select.dataset.key = `${name}/merge`;
    const others = vocabulary.filter((other) => other.name !== name);
    select.append(...others.map((other) => new Option(nameOf(other.name), other.name)));
    select.addEventListener('change', () => {
      const one = mergedName(name, select.value);
      void change((all) => merged(all, name, select.value)).then((isMerged) => isMerged && show(one)?.focus());
    });
    return select;
  };

  /** The model's own are left out rather than removed. */
  const removal = (name: string): HTMLElement[] => {
    if (own.some((expression) => expression.name === name)) return [];
    const remove = button('', strings.remove, `${name}/remove`, () => void change((all) => without(all, name)));
    remove.setAttribute('aria-label', fill(strings.removeNamed, { name }));
    return [remove];
  };

  const aboutTaught = (taught: TaughtExpression): HTMLElement[] => [
    element('p', 'small', figuresOf(taught)),
    ...(taught.recognized < WELL_LEARNED ? [element('p', 'small warning', strings.taughtWeak)] : []),
  ];

  const keeping = (taught: TaughtExpression): HTMLElement => {
    const { name } = taught;
    const keep = button('', strings.saveTaught, `${name}/save`, () => {
      save(`${name.replaceAll(/[^\p{L}\p{N}]+/gu, '-')}.json`, 'application/json', `${JSON.stringify(taught)}\n`);
    });
    keep.setAttribute('aria-label', fill(strings.saveNamed, { name }));
    return keep;
  };

  /** Anew, with what was open still open, and the keyboard where it was. */
  const draw = (): void => {
    const open = new Set(
      [...list.querySelectorAll('details[open]')].map((one) => (one as HTMLElement).dataset.expression),
    );
    const active = document.activeElement;
    const hadFocus = list.contains(active);
    const key = hadFocus && active instanceof HTMLElement ? (active.dataset.key ?? '') : '';
    const owner = active?.closest('li:has(> details)')?.querySelector('details')?.dataset.expression ?? '';
    list.replaceChildren(...vocabulary.map(row));
    for (const details of list.querySelectorAll('details')) details.open = open.has(details.dataset.expression);
    back.hidden = isSame(vocabulary, restored(vocabulary, own));
    if (!hadFocus) return;
    const find = (key: string): HTMLElement | null => list.querySelector(`[data-key="${CSS.escape(key)}"]`);
    (find(key) ?? find(owner) ?? newName).focus();
  };

  const teach = (taught: TaughtExpression): Promise<boolean> => change((all) => withTaught(all, taught));
  const refuse = (name: string): string | undefined => (isTaken(vocabulary, name) ? strings.nameTaken : undefined);

  const read = async (file: Blob): Promise<void> => {
    const taught = readTaught(await file.text());
    const problem = taught
      ? refuse(taught.name)
      : fill(strings.notTaught, { file: file instanceof File ? file.name : '' });
    if (problem !== undefined) say(problem);
    else if (taught && (await teach(taught))) show(taught.name);
  };

  /** Opens an expression's part of the list, whose head it returns. */
  const show = (name: string): HTMLElement | null | undefined => {
    byId('expressions', HTMLDetailsElement).open = true;
    const details = list.querySelector<HTMLDetailsElement>(`details[data-expression="${CSS.escape(name)}"]`);
    if (details) details.open = true;
    return details?.querySelector('summary');
  };

  byId('new-expression', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const [name, text] = [newName.value.trim(), newText.value.trim()];
    if (name === '' || text === '') return;
    const owner = ownerOf(vocabulary, text);
    if (vocabulary.some((expression) => expression.name === name)) say(strings.nameTaken);
    else if (owner !== undefined) say(fill(strings.textTwice, { name: nameOf(owner) }));
    else {
      void change((all) => [...all, { name, texts: [text], taught: [], isAnswered: true }]).then((isAdded) => {
        if (isAdded) newName.value = newText.value = '';
      });
    }
  });
  back.addEventListener('click', () => {
    // The button goes with what it takes back.
    void change((all) => restored(all, own)).then(() => back.hidden && newName.focus());
  });
  onReady.push((engine) => {
    own = vocabularyOf(engine.descriptors);
    model = JSON.stringify([engine.info.model, own]);
    const known = kept.get(model) ?? vocabularyIn(settings.get('expressions'), own);
    vocabulary = known ?? own;
    if (!known) say(strings.linkForeign);
    // A link's expressions are not what the visitor expects: they are shown.
    if (settings.get('expressions') !== '') byId('expressions', HTMLDetailsElement).open = true;
    draw();
    const asked = descriptorsOf(vocabulary, own);
    if (!asked) keepInAddress();
    else last = last.then(() => begin(engine, asked));
  });
  /** A new recognizer answers in what the one before did, or the address asks for; else in the model's own, which says why. */
  const begin = async (engine: Recognizer, asked: Record<string, ExpressionDescription>): Promise<void> => {
    try {
      await answerIn(engine, asked);
      keepInAddress();
    } catch (error) {
      // Another one was chosen meanwhile.
      if (error instanceof CliperError && error.code === 'disposed') return;
      vocabulary = own;
      say(explain(error));
      draw();
    }
  };
  return {
    refuse,
    async add(taught) {
      const isAdded = await teach(taught);
      if (isAdded) show(taught.name);
      return isAdded;
    },
    open: (files) => void Promise.all(files.map(read)),
  };
}

/** What a taught expression is worth, by its own figures. */
export function figuresOf({ recognized, taken, frames }: TaughtExpression): string {
  return fill(strings.taughtFigures, { won: Math.round(recognized * frames), frames, taken: percentUp(taken) });
}

/** Never less than it is. */
function percentUp(part: number): string {
  return `${Math.ceil(part * 100 - 1e-6)} %`;
}

function textsOf(vocabulary: Vocabulary, name: string): readonly string[] {
  return vocabulary.find((expression) => expression.name === name)?.texts ?? [];
}

/** Without `press` it sends its form. */
function button(className: string, text: string, key: string, press?: () => void): HTMLButtonElement {
  const made = element('button', className, text);
  made.type = press ? 'button' : 'submit';
  made.dataset.key = key;
  if (press) made.addEventListener('click', press);
  return made;
}

function textField(label: string, key: string): HTMLInputElement {
  const field = element('input', '');
  field.type = 'text';
  field.lang = 'en';
  field.maxLength = 200;
  field.autocomplete = 'off';
  field.dataset.key = key;
  field.placeholder = strings.anotherText;
  field.setAttribute('aria-label', label);
  return field;
}
