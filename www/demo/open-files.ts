// Whatever the visitor gives the page, by a button, a drop anywhere or the clipboard: pictures, films, a model, expressions.

import { byId } from './dom.js';
import { stage } from './page.js';

export interface Opened {
  picture(file: Blob): void;
  film(file: Blob): void;
  model(files: readonly File[]): void;
  expressions(files: readonly File[]): void;
}

export function connectFiles(opened: Opened): void {
  const open = (files: readonly File[]): void => {
    const [first] = files;
    if (!first) return;
    if (files.some(({ name }) => name === 'model.json')) opened.model(files);
    else if (files.every(isJson)) opened.expressions(files);
    else if (first.type.startsWith('video/')) opened.film(first);
    else opened.picture(first);
  };
  const input = byId('file', HTMLInputElement);
  input.addEventListener('change', () => {
    open([...(input.files ?? [])]);
    // So that the same file can be chosen again.
    input.value = '';
  });
  document.addEventListener('paste', ({ clipboardData }) => {
    open([...(clipboardData?.files ?? [])].filter(({ type }) => /^(image|video)\//.test(type)));
  });
  // The whole page takes drops: a file that misses the stage must not replace the page.
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    stage.dropping(true);
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) stage.dropping(false);
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    stage.dropping(false);
    void dropped(event.dataTransfer).then(open);
  });
}

function isJson({ name, type }: File): boolean {
  return type === 'application/json' || name.endsWith('.json');
}

/** The files of a drop, those of a folder among them. */
async function dropped(transfer: DataTransfer | null): Promise<File[]> {
  // What is not asked for in the event itself is gone after it.
  const files = [...(transfer?.files ?? [])];
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
  const folder = entries.find((entry): entry is FileSystemDirectoryEntry => entry?.isDirectory === true);
  return folder ? read(folder) : files;
}

async function read(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    // A reader gives some entries at a time, and none at the end.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    const found = entries.filter((entry): entry is FileSystemFileEntry => entry.isFile);
    files.push(
      ...(await Promise.all(found.map((entry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))))),
    );
  }
}
