// The visitor's expressions as a word of the page's address, and back: what differs from the model's own, by number or in full.

import { type Expression, JOINT, type Vocabulary } from './vocabulary.js';

/** Servers refuse addresses of some 8,000 characters. */
const LONGEST = 6000;

/**
 * `CHECK_EXPRESSION_EXPRESSION…`, and an expression is `NAME.PART.PART…`, with `-` before it where it is not answered. A name
 * or a part is the number of one of the model's own expressions (as a part: all of its texts), `2-0` one of its texts, or `*`
 * and a text in full; without parts it is one of the model's own as it is. '' where all are. What was taught is in files alone,
 * as it tells of a face. Undefined where that is too long, or too little to answer in.
 */
export function addressOf(vocabulary: Vocabulary, own: Vocabulary): string | undefined {
  const told = withoutTaught(vocabulary);
  const words = told.map((expression) => wordOf(expression, own));
  if (words.join('_') === own.map((_, index) => `${index}`).join('_')) return '';
  const address = signed(words, own);
  const isWhole = isAnswerable(told) && encodeURIComponent(address).length <= LONGEST;
  return isWhole ? address : undefined;
}

/** What an address says; undefined where it is damaged, or of another model. */
export function vocabularyIn(address: string, own: Vocabulary): Vocabulary | undefined {
  if (address === '') return own;
  const words = address.split('_').slice(1);
  if (address !== signed(words, own)) return undefined;
  const read = words.map((word) => expressionOf(word, own));
  return read.every((expression) => expression !== undefined) && isAnswerable(read) ? read : undefined;
}

function wordOf({ name, texts, isAnswered }: Expression, own: Vocabulary): string {
  const self = own.findIndex((expression) => expression.name === name);
  const parts: string[] = [];
  for (let at = 0; at < texts.length; ) {
    const text = texts[at] ?? '';
    const owner = own.findIndex((expression) => expression.texts.includes(text));
    const all = own[owner]?.texts ?? [];
    if (owner >= 0 && all.every((other, index) => texts[at + index] === other)) {
      parts.push(`${owner}`);
      at += all.length;
    } else {
      parts.push(owner >= 0 ? `${owner}-${all.indexOf(text)}` : inFull(text));
      at += 1;
    }
  }
  const isOwn = parts.length === 1 && parts[0] === `${self}`;
  const word = [self >= 0 ? `${self}` : inFull(name), ...(isOwn ? [] : parts)].join('.');
  return isAnswered ? word : `-${word}`;
}

function expressionOf(word: string, own: Vocabulary): Expression | undefined {
  const isAnswered = !word.startsWith('-');
  const [first = '', ...parts] = (isAnswered ? word : word.slice(1)).split('.');
  const name = first.startsWith('*') ? fromFull(first) : own[/^\d+$/.test(first) ? Number(first) : -1]?.name;
  const texts = (parts.length === 0 ? [first] : parts).map((part) => textsOf(part, own));
  if (!name || !texts.every((some) => some !== undefined)) return undefined;
  return { name, texts: texts.flat(), taught: [], isAnswered };
}

function textsOf(part: string, own: Vocabulary): readonly string[] | undefined {
  if (part.startsWith('*')) return [fromFull(part)];
  const [, expression, text] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
  const all = own[Number(expression)]?.texts;
  if (text === undefined) return all;
  const one = all?.[Number(text)];
  return one === undefined ? undefined : [one];
}

/** Two answers at least, under names of their own, and each text once. */
function isAnswerable(vocabulary: Vocabulary): boolean {
  const names = new Set(vocabulary.map(({ name }) => name));
  const texts = vocabulary.flatMap(({ texts }) => texts);
  const isAlone = names.size === vocabulary.length && new Set(texts).size === texts.length && !texts.includes('');
  return isAlone && vocabulary.filter(({ isAnswered }) => isAnswered).length >= 2;
}

/** What sentences and the model's own texts describe, by the names that are left then. */
function withoutTaught(vocabulary: Vocabulary): Vocabulary {
  const names = new Set(vocabulary.map(({ name }) => name));
  return vocabulary
    .filter(({ texts }) => texts.length > 0)
    .map((expression) => {
      const taught = new Set(expression.taught.map(({ name }) => name));
      const left = expression.name
        .split(JOINT)
        .filter((name) => !taught.has(name))
        .join(JOINT);
      return { ...expression, taught: [], name: left === '' || names.has(left) ? expression.name : left };
    });
}

/** The signs that stand between words and parts are written in another way inside them. */
function inFull(text: string): string {
  return `*${text.replace(/[~._]/g, (sign) => `~${'~._'.indexOf(sign)}`)}`;
}

function fromFull(part: string): string {
  return part.slice(1).replace(/~([012])/g, (_, sign: string) => '~._'.charAt(Number(sign)));
}

/**
 * Words with their check before them: numbers mean nothing beside another model, and a part of an address says something else.
 * FNV-1a's hash tells.
 */
export function signed(words: readonly string[], own: Vocabulary): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(JSON.stringify([words, own]))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return [hash.toString(36), ...words].join('_');
}
