// cliper: an encoder with a bundle, and the built-in model with faces.

import { ExpressionRecognizer, ImageEncoder } from '../src/index.js';
import { type Contender, type FrameContender, modelFile, type Setting, worker } from './contenders.js';
import { takeCounts } from './gpu-counts.js';

export function encoder({ model, device, precision, threads }: Setting): Contender {
  return {
    name: 'cliper',
    async create() {
      let name = '';
      const encoder = await ImageEncoder.create({
        model: modelFile(model, 'bundle/model.json'),
        device,
        precision,
        threads,
        cache: false,
        createWorker: () => {
          const made = worker('cliper-worker');
          // The first is the engine's; the others are its helpers, which hear nothing.
          name ||= made.name;
          return made.worker;
        },
      });
      const { info } = encoder;
      return {
        encode: (pixels) => encoder.encode(pixels),
        heap: async () => (await encoder.counters()).memoryBytes,
        gpu: () => takeCounts(name),
        info: `${info.device}, ${info.adapter}, ${info.precision}`,
        close: () => encoder.dispose(),
      };
    },
  };
}

/** Its face detector and built-in model on the CPU. */
export const frames: FrameContender = {
  name: 'cliper',
  async create() {
    const recognizer = await ExpressionRecognizer.create({ device: 'cpu', cache: false, faces: true });
    return {
      answer: async (frame) => (await recognizer.recognize(frame)).faces[0]?.top?.name ?? 'no face',
      close: () => recognizer.dispose(),
      info: recognizer.info.adapter,
    };
  },
};
