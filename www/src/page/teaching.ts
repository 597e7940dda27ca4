// Teaching an expression: its frames to the engine one by one, then the lesson in short parts, so that streams go on between.

import { CliperError } from '../shared/errors.js';
import type { ExpressionDescription, Picture, TaughtExpression, TeachOptions } from '../shared/types.js';
import { throwIfAborted } from './abort.js';
import type { Caller } from './worker-client.js';

/** Steps of a call: about 30 ms on the CPU. */
const STEPS = 10;
/** Parts of the progress that the learning is, beside the frames. */
const PARTS = 20;

/** A frame, and whether the face is at rest in it. */
interface Example {
  picture: Picture;
  neutral: boolean;
}

/** Shows one frame to the engine, and says whether it found a face. */
type Show = (example: Example, lesson: number, signal: AbortSignal) => Promise<{ found: boolean }>;

export async function teach(
  engine: Caller,
  name: string,
  examples: readonly Example[],
  lesson: number,
  show: Show,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: TeachOptions['onProgress'] },
): Promise<TaughtExpression> {
  const total = examples.length + PARTS;
  try {
    for (const [index, example] of examples.entries()) {
      const { found } = await show(example, lesson, signal);
      if (!found) {
        const kind = example.neutral ? 'neutral frame' : 'frame';
        const place = examples.slice(0, index + 1).filter(({ neutral }) => neutral === example.neutral).length;
        throw new CliperError('invalid-argument', `There is no face in ${kind} ${place} of '${name}': leave it out.`);
      }
      onProgress?.({ done: index + 1, total });
    }
    for (;;) {
      throwIfAborted(signal);
      const { done, total: steps } = await engine.call('learn', { lesson, name, steps: STEPS }, { signal });
      onProgress?.({ done: Math.min(examples.length + Math.floor((PARTS * done) / steps), total - 1), total });
      if (done >= steps) break;
    }
    const taught = await engine.call('finishLesson', { lesson, name }, { signal });
    onProgress?.({ done: total, total });
    return taught;
  } catch (thrown) {
    // The engine may be gone itself: then there is nothing to forget.
    void engine.call('dropLesson', { lesson }).catch(() => {});
    throw thrown;
  }
}

/** Whether a part of a description is an expression that was taught, and not a text. */
export function isTaught(part: unknown): part is TaughtExpression {
  return typeof part === 'object' && part !== null && 'format' in part && part.format === 'cliper-expression';
}

/** The parts of a description: texts, and what was taught. */
export function partsOf(description: ExpressionDescription): readonly (string | TaughtExpression)[] {
  const parts: unknown = isTaught(description) ? [description] : description;
  if (Array.isArray(parts) && parts.every((part) => typeof part === 'string' || isTaught(part))) return parts;
  throw new CliperError(
    'invalid-argument',
    "These are no descriptors: give each expression's texts, { happiness: ['a wide smile', ...], ... }, or what `teach` gave.",
  );
}
