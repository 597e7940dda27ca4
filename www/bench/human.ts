// human: its face detector and emotion net on tfjs wasm.

import { Caller } from './calls.js';
import { type FrameContender, worker } from './contenders.js';

export const frames: FrameContender = {
  name: 'human',
  async create() {
    const caller = new Caller(worker('human-worker').worker);
    const version = await caller.call<string>('create', null);
    return {
      answer: async (frame) => {
        const found = await caller.call<{ emotion: string } | null>('detect', frame);
        return found?.emotion ?? 'no face';
      },
      close: () => caller.close(),
      info: `${version}, tfjs wasm`,
    };
  },
};
