// What a page tells the people that it looks at: the AI Act asks for it (Art. 50(3)), good manners do too.

const TEXTS = {
  en: 'This page uses AI to recognise apparent facial expressions in pictures of you. It says what a face looks like to a model that errs, not what anyone feels. Everything is computed on this device; no picture leaves it or is kept.',
  zh: '本页使用人工智能识别您图像中面部所呈现的表情。它表示在一个会出错的模型看来这张脸像什么，并不表示任何人的感受。一切计算都在本设备上进行，图像不会离开设备，也不会保存。',
} as const;

/**
 * The notice for people whose faces are looked at, as a plain sentence or two. Whoever uses emotion recognition on people in
 * the European Union has to tell them so, since 2 August 2026 (AI Act, Art. 50(3)); at work and in education it is
 * forbidden (Art. 5(1)(f)). It is true of pages that keep nothing: add what yours does beyond that.
 *
 * @param language a language tag; English where there is no text in it
 *
 * @example
 * caption.textContent = notice(navigator.language);
 */
export function notice(language = 'en'): string {
  return language.toLowerCase().startsWith('zh') ? TEXTS.zh : TEXTS.en;
}
