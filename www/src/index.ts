// Facial expression recognition in the visitor's browser: everything that users import.

export { openCamera, type Camera, type CameraOptions } from './camera.js';
export { CliperError, type ErrorCode } from './errors.js';
export { ExpressionRecognizer } from './recognizer.js';
export { smooth } from './smoothing.js';
export type {
  Box,
  Counters,
  CreateOptions,
  DescriptorSimilarity,
  Device,
  ExpressionScore,
  FaceOptions,
  FaceRecognition,
  KeyPoints,
  Picture,
  Point,
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
  Timings,
  WithFaces,
  WithoutFaces,
} from './types.js';
