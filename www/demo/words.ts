// The visitor's own words beside every answer: sentences to compare the face with, kept in the page's address.

import type { Prediction } from '../src/index.js';
import type { Recognizer } from './current-recognizer.js';
import { byId, element, percent, setText, write } from './dom.js';
import { onReady, recognizer, result, settings } from './page.js';
import { explain, fill, strings } from './strings.js';

/** `again` looks once more at what stands still. */
export function connectWords(again: () => void): void {
  const list = byId('words', HTMLElement);
  const field = byId('word', HTMLInputElement);
  let asked: readonly string[] = settings.get('words').split('\n').filter(Boolean);

  /** Compares faces with these sentences from now on; the ones before stay where these can't be read. */
  const ask = async (engine: Recognizer, texts: readonly string[]): Promise<boolean> => {
    try {
      const { foreign } = await engine.describe(texts, {
        onProgress: (part) => setText('words-note', part < 1 ? fill(strings.wordsComing, { part: percent(part) }) : ''),
      });
      setText('words-note', foreign.length > 0 ? fill(strings.wordsForeign, { text: foreign.join('; ') }) : '');
      return true;
    } catch (error) {
      setText('words-note', explain(error));
      return false;
    }
  };

  const change = async (texts: readonly string[]): Promise<void> => {
    if (!(await ask(await recognizer.get(), texts))) return;
    asked = texts;
    settings.set('words', texts.join('\n'));
    show(undefined);
    again();
  };

  const show = (answers: Prediction['texts']): void => {
    // What is drawn anew must not take the keyboard's place with it: the same sentences keep their lines.
    if (list.children.length !== asked.length) {
      list.replaceChildren(
        ...asked.map((text) => line(text, () => void change(asked.filter((other) => other !== text)))),
      );
    }
    for (const [index, item] of [...list.children].entries()) {
      const strength = answers?.[index]?.strength;
      const place = item.querySelector('.strength');
      if (place) write(place, strength === undefined ? '–' : percent(strength));
    }
  };

  byId('words-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (text === '' || asked.includes(text)) return;
    void change([...asked, text]).then(() => {
      if (asked.includes(text)) field.value = '';
    });
  });
  result.onTexts = show;
  onReady.push((engine) => {
    if (asked.length > 0) void ask(engine, asked).then((isAsked) => isAsked && again());
  });
  show(undefined);
}

function line(text: string, remove: () => void): HTMLElement {
  const button = element('button', 'quiet', '×');
  button.type = 'button';
  button.setAttribute('aria-label', fill(strings.wordsRemove, { text }));
  button.addEventListener('click', remove);
  const words = element('span', '', text);
  words.lang = 'en';
  return element('li', '', words, element('span', 'strength', '–'), button);
}
