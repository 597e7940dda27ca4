// What becomes of a call whose device is lost: answered by the next one, or made again.

import { CliperError, type PlainError } from '../shared/errors.js';

/** A frame that was read and not answered: the next device may answer it. */
export class Unanswered extends CliperError {
  constructor(
    { code, message }: PlainError,
    readonly frame: ImageData,
  ) {
    super(code, message);
  }
}

/** A call whose frame or clip went down with the device: whoever made it starts over. */
export class StartOver extends CliperError {
  constructor(cause: unknown) {
    super('device-unavailable', 'The device was lost before it answered: call again.', { cause });
  }
}

/** Makes a call again until its device lives: the engine bounds how often one is lost. */
export async function startingOver<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (thrown) {
      if (!(thrown instanceof StartOver)) throw thrown;
    }
  }
}
