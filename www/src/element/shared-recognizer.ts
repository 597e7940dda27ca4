// One recognizer for all elements of a page that ask for the same: it ends when the last of them is gone.

import { type CreateOptions, ExpressionRecognizer } from '../index.js';

/** Milliseconds that it stays when nobody uses it: an element that is moved leaves the page and comes back. */
const STAYS = 1000;

interface Shared {
  created: Promise<ExpressionRecognizer>;
  users: number;
}

const shared = new Map<string, Shared>();

/** What an element holds while it uses a recognizer. */
export interface Lease {
  recognizer: Promise<ExpressionRecognizer>;
  release(): void;
}

export function lease(options: CreateOptions): Lease {
  const key = JSON.stringify(options);
  const found = shared.get(key) ?? { created: ExpressionRecognizer.create(options), users: 0 };
  shared.set(key, found);
  found.users++;
  // After a failure the next element tries again.
  found.created.catch(() => shared.get(key) === found && shared.delete(key));
  let isHeld = true;
  const release = (): void => {
    if (!isHeld) return;
    isHeld = false;
    setTimeout(() => end(key, found), STAYS);
  };
  return { recognizer: found.created, release };
}

/** Forgets a recognizer that can't go on: the next element makes another one. */
export function forget(broken: Promise<ExpressionRecognizer>): void {
  for (const [key, { created }] of shared) if (created === broken) shared.delete(key);
}

function end(key: string, found: Shared): void {
  if (--found.users > 0) return;
  if (shared.get(key) === found) shared.delete(key);
  void found.created.then(
    (recognizer) => recognizer.dispose(),
    () => {},
  );
}
