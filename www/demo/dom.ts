// The little that every part of the page needs of the document.

/** The page's element of an id and a kind. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`index.html has no ${type.name} with the id '${id}'`);
}

/** An element with its class and content. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/** Writes a text where it is not there yet: writing it again would make screen readers repeat it. */
export function setText(id: string, text: string): void {
  write(byId(id, HTMLElement), text);
}

/** The same for an element: a text that is written again costs a layout too. */
export function write(place: Element, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

/** A file that the visitor keeps, made here. */
export function save(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads it in a task of its own.
  setTimeout(() => URL.revokeObjectURL(address));
}
