// MediaPipe's face landmarker in a worker of its own.

import { answer } from './calls.js';

/** The little of tasks-vision's types that is used here. */
interface Vision {
  FilesetResolver: { forVisionTasks(folder: string, isModule: boolean): Promise<object> };
  FaceLandmarker: { createFromOptions(files: object, options: object): Promise<Landmarker> };
}
interface Landmarker {
  detect(frame: ImageBitmap): Landmarks;
  detectForVideo(frame: ImageBitmap, timestamp: number): Landmarks;
}
interface Landmarks {
  faceBlendshapes: { categories: { categoryName: string; score: number }[] }[];
}

let landmarker: Landmarker | undefined;
let isVideo = false;

answer({
  async create(runningMode: 'IMAGE' | 'VIDEO') {
    const folder = new URL('./peers/mediapipe', import.meta.url).href;
    const { FaceLandmarker, FilesetResolver } = (await import(`${folder}/vision_bundle.mjs`)) as Vision;
    isVideo = runningMode === 'VIDEO';
    landmarker = await FaceLandmarker.createFromOptions(await FilesetResolver.forVisionTasks(folder, true), {
      baseOptions: { modelAssetPath: `${folder}/face_landmarker.task`, delegate: 'CPU' },
      outputFaceBlendshapes: true,
      numFaces: 1,
      runningMode,
    });
  },
  detect(frame: ImageBitmap) {
    const found = isVideo ? landmarker?.detectForVideo(frame, performance.now()) : landmarker?.detect(frame);
    frame.close();
    const shapes = found?.faceBlendshapes[0]?.categories ?? [];
    return [...shapes].sort((one, other) => other.score - one.score)[0]?.categoryName ?? 'no face';
  },
});
