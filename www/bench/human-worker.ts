// human (tfjs wasm, face detector and emotion net) in a worker of its own.

import { answer } from './calls.js';

interface Human {
  version: string;
  load(): Promise<void>;
  detect(input: ImageBitmap): Promise<{ face: { emotion?: { emotion: string; score: number }[] }[] }>;
}

let human: Human | undefined;

answer({
  async create() {
    const folder = new URL('./peers/human/', import.meta.url).href;
    const { Human } = (await import(`${folder}human.esm.js`)) as { Human: new (config: object) => Human };
    const off = { enabled: false };
    human = new Human({
      backend: 'wasm',
      wasmPath: new URL('./peers/tfjs-backend-wasm/', import.meta.url).href,
      modelBasePath: `${folder}models/`,
      cacheSensitivity: 0,
      debug: false,
      filter: off,
      gesture: off,
      body: off,
      hand: off,
      object: off,
      segmentation: off,
      face: {
        enabled: true,
        mesh: off,
        iris: off,
        description: off,
        antispoof: off,
        liveness: off,
        emotion: { enabled: true, skipFrames: 0, skipTime: 0 },
        detector: { skipFrames: 0, skipTime: 0, rotation: false },
      },
    });
    await human.load();
    return human.version;
  },
  async detect(frame: ImageBitmap) {
    const result = await human?.detect(frame);
    frame.close();
    return result?.face[0]?.emotion?.[0] ?? null;
  },
});
