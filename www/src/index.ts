// Facial expression recognition in the visitor's browser: everything that users import.

export { type Camera, type CameraOptions, openCamera } from './page/camera.js';
export { type ChangeOptions, changes, type ExpressionChange } from './page/changes.js';
export { ImageEncoder } from './page/image-encoder.js';
export { notice } from './page/notice.js';
export { ExpressionRecognizer } from './page/recognizer.js';
export { type Displayed, type DisplayOptions, display, smooth } from './page/smoothing.js';
export { CliperError, type ErrorCode } from './shared/errors.js';
export type {
  Box,
  BundleFiles,
  Clip,
  ClipFace,
  ClipFaceMoment,
  ClipFaceRecognition,
  ClipMoment,
  ClipOptions,
  ClipRecognition,
  Counters,
  CreateOptions,
  DescriptorSimilarity,
  Device,
  DeviceLoss,
  EngineOptions,
  Evidence,
  ExpressionScore,
  FaceOptions,
  FaceRecognition,
  ImageEncoderInfo,
  ImageEncoderOptions,
  KeyPoints,
  LookOptions,
  MovementScore,
  Picture,
  Point,
  Precision,
  Prediction,
  Progress,
  PushOptions,
  Recognition,
  RecognitionStream,
  RecognizedFace,
  RecognizeOptions,
  RecognizerInfo,
  RecognizerOptions,
  Stage,
  StreamOptions,
  StreamStats,
  TextOptions,
  Timings,
  Understood,
  WithFaces,
  WithoutFaces,
} from './shared/types.js';
