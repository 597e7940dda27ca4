// Shows the model card in the page: the little Markdown that our cards use, as elements; never as HTML.

/** Opens the card that `link` leads to in `dialog`. With a modifier key, or where it can't be fetched, the link is one. */
export function showCard(link: HTMLAnchorElement, dialog: HTMLDialogElement): void {
  const body = dialog.querySelector('div');
  link.addEventListener('click', (event) => {
    if (!body || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void read(link.href).then(
      (text) => {
        body.replaceChildren(...elements(text));
        dialog.showModal();
        body.scrollTop = 0;
      },
      () => location.assign(link.href),
    );
  });
  // A click beside the card, on the backdrop, closes it.
  dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close());
}

async function read(address: string): Promise<string> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
  return response.text();
}

/** Headings, paragraphs, lists and tables, each between empty lines. */
function elements(markdown: string): HTMLElement[] {
  const blocks = markdown.split(/\n\s*\n/).map((block) => block.trim());
  return blocks
    .filter((block) => block !== '')
    .flatMap((block) => {
      const heading = /^(#+) (.*)$/.exec(block);
      // The page has its own first two levels.
      if (heading) return [element(heading[1] === '#' ? 'h2' : 'h3', heading[2] ?? '')];
      const lines = block.split('\n');
      if (block.startsWith('|')) return [table(lines)];
      if (block.startsWith('- ')) return [list(block)];
      return [element('p', lines.join(' '))];
    });
}

function list(block: string): HTMLElement {
  const made = document.createElement('ul');
  // Lines that go on belong to the point before them.
  const points = block
    .slice(2)
    .split(/\n- /)
    .map((point) => point.replace(/\n\s*/g, ' '));
  made.append(...points.map((point) => element('li', point)));
  return made;
}

function table(lines: readonly string[]): HTMLElement {
  const made = document.createElement('table');
  // The second line only says where the head ends.
  for (const [index, line] of lines.entries()) {
    if (index === 1) continue;
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    // A head without a word heads nothing.
    made.insertRow().append(...cells.map((cell) => element(index === 0 && cell !== '' ? 'th' : 'td', cell)));
  }
  const wide = document.createElement('div');
  wide.className = 'wide';
  wide.append(made);
  return wide;
}

/** An element with its text; `code` and *stress* inside it. */
function element(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  for (const part of text.split(/(`[^`]+`|\*[^*]+\*)/)) {
    const mark = part.startsWith('`') ? 'code' : part.startsWith('*') ? 'em' : undefined;
    if (!mark) {
      made.append(part);
      continue;
    }
    const inner = document.createElement(mark);
    inner.textContent = part.slice(1, -1);
    made.append(inner);
  }
  return made;
}
