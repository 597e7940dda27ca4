// Facial expression recognition in the visitor's browser: everything that users import.

export { openCamera, type Camera, type CameraOptions } from './page/camera.js';
export { CliperError, type ErrorCode } from './shared/errors.js';
export { ExpressionRecognizer } from './page/recognizer.js';
export { ImageEncoder } from './page/image-encoder.js';
export { display, smooth, type Displayed, type DisplayOptions } from './page/smoothing.js';
export type {
  Box,
  BundleFiles,
  Clip,
  ClipMoment,
  ClipOptions,
  ClipRecognition,
  Counters,
  CreateOptions,
  DescriptorSimilarity,
  Device,
  EngineOptions,
  Evidence,
  ExpressionScore,
  MovementScore,
  FaceOptions,
  FaceRecognition,
  ImageEncoderInfo,
  ImageEncoderOptions,
  KeyPoints,
  Picture,
  Point,
  Precision,
  Prediction,
  Progress,
  PushOptions,
  Recognition,
  RecognitionStream,
  RecognizedFace,
  LookOptions,
  RecognizeOptions,
  RecognizerInfo,
  RecognizerOptions,
  Stage,
  StreamOptions,
  StreamStats,
  Timings,
  WithFaces,
  WithoutFaces,
} from './shared/types.js';
