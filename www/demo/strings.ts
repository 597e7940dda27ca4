// Every sentence of the page, in English and Chinese, and which of them is shown.

import { CliperError, type ErrorCode } from '../src/index.js';
import { chinese } from './strings-chinese.js';
import { english, type Strings } from './strings-english.js';
import { JOINT } from './vocabulary.js';

export type Language = 'en' | 'zh';

/** `?lang=` goes before the browser's own language. */
export const language: Language = /^zh/i.test(new URLSearchParams(location.search).get('lang') ?? navigator.language)
  ? 'zh'
  : 'en';

export const strings: Strings = language === 'zh' ? chinese : english;

/** A sentence with its `{places}` filled. */
export function fill(sentence: string, values: Record<string, string | number>): string {
  return sentence.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** An expression's name as it is shown: a bundle's own names are English words, alone or of several made one. */
export function nameOf(expression: string): string {
  const names = expression.split(JOINT).map((name) => strings.expressions[name] ?? name);
  return names.join(JOINT);
}

/** What went wrong, as a sentence that says what to do. */
export function explain(error: unknown): string {
  if (error instanceof CliperError) return failures()[error.code] ?? error.message;
  return error instanceof Error ? error.message : String(error);
}

/** The library speaks English: other languages have sentences of their own for what visitors meet. */
function failures(): Partial<Record<ErrorCode, string>> {
  const { insecure, ...known } = strings.failures;
  return isSecureContext ? known : { ...known, 'camera-unsupported': insecure };
}

/** Fills the page: `data-text`, `data-label` and `data-hint` name a sentence. */
export function translate(): void {
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  document.title = strings.title;
  for (const place of document.querySelectorAll<HTMLElement>('[data-text], [data-label], [data-hint]')) {
    const { text, label, hint } = place.dataset;
    if (text) place.textContent = sentence(text);
    if (label) place.setAttribute(place instanceof HTMLImageElement ? 'alt' : 'aria-label', sentence(label));
    if (hint) place.title = sentence(hint);
  }
}

function sentence(key: string): string {
  const found = strings[key as keyof Strings];
  if (typeof found !== 'string') throw new Error(`strings has no sentence '${key}'`);
  return found;
}
