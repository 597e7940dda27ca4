// MediaPipe's face landmarker with face shapes: 478 points and 52 movements of a face.

import { Caller } from './calls.js';
import { type FrameContender, worker } from './contenders.js';

/** `IMAGE` finds the face anew in every frame, `VIDEO` follows it from the frame before. */
function landmarker(name: string, mode: 'IMAGE' | 'VIDEO'): FrameContender {
  return {
    name,
    async create() {
      const caller = new Caller(worker('mediapipe-worker').worker);
      await caller.call('create', mode);
      return {
        answer: (frame) => caller.call('detect', frame),
        close: () => caller.close(),
        info: `wasm, ${mode}`,
      };
    },
  };
}

export const frames = landmarker('MediaPipe', 'IMAGE');
export const followed = landmarker('MediaPipe, following the face', 'VIDEO');
