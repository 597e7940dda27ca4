// The visitor's camera as a playing video, with a reason for every refusal.

import { CliperError } from '../shared/errors.js';
import { abortable, throwIfAborted } from './abort.js';

/** Options of `openCamera`. */
export interface CameraOptions {
  /** `user` (default) looks at the visitor, `environment` away; where only one camera is, that one. */
  facingMode?: 'user' | 'environment';
  /** One camera, by its id of `enumerateDevices`; `facingMode` then says nothing. */
  deviceId?: string;
  /** The element to play in. Default: a new one, which need not be in the page. */
  video?: HTMLVideoElement;
  /** Gives up waiting for the visitor's answer. */
  signal?: AbortSignal;
}

/** An open camera. */
export interface Camera {
  /** Plays the camera, muted. */
  video: HTMLVideoElement;
  /** Turns the camera off; twice is fine. */
  stop(): void;
}

/**
 * Asks for the camera and plays it. Frames stay in the page.
 *
 * @throws {CliperError} `camera-denied`, `camera-missing`, `camera-busy`, `camera-unsupported`, `aborted`
 *
 * @example
 * const camera = await openCamera();
 * document.body.append(camera.video);
 * for await (const { top } of recognizer.stream(camera.video)) console.log(top.name);
 */
export async function openCamera(options: CameraOptions = {}): Promise<Camera> {
  const { facingMode = 'user', deviceId, signal = new AbortController().signal } = options;
  throwIfAborted(signal);
  if (typeof document === 'undefined' || !navigator.mediaDevices?.getUserMedia) {
    throw new CliperError(
      'camera-unsupported',
      globalThis.isSecureContext === false
        ? 'This page is not secure, so browsers give it no camera: open it over https, or on localhost.'
        : 'There is no access to cameras here: call it in a page, in a browser with camera support.',
    );
  }
  const { video = document.createElement('video') } = options;
  // A square of more than 480 pixels gives the encoder nothing more to see.
  const asked = navigator.mediaDevices.getUserMedia({
    audio: false,
    video: {
      ...(deviceId === undefined ? { facingMode } : { deviceId: { exact: deviceId } }),
      width: { ideal: 640 },
      height: { ideal: 480 },
    },
  });
  let stream: MediaStream | undefined;
  const stop = (): void => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  try {
    stream = await abortable(asked, signal);
    video.muted = true;
    video.playsInline = true;
    video.srcObject = stream;
    await abortable(video.play(), signal);
    return { video, stop };
  } catch (thrown) {
    stop();
    // Given up while the visitor was asked: a camera that opens later is turned off again.
    asked.then(
      (late) => late.getTracks().forEach((track) => track.stop()),
      () => {},
    );
    throw cameraError(thrown);
  }
}

function cameraError(cause: unknown): CliperError {
  if (cause instanceof CliperError) return cause;
  const name = cause instanceof Error ? cause.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return new CliperError(
        'camera-denied',
        'The camera was not allowed: allow it in the browser\'s site settings (and, in a frame, with allow="camera"), then try again.',
        { cause },
      );
    case 'NotFoundError':
    case 'OverconstrainedError':
      return new CliperError('camera-missing', 'No camera was found: connect one, then try again.', { cause });
    case 'NotReadableError':
    case 'AbortError':
      return new CliperError(
        'camera-busy',
        'The camera is in use or does not answer: close other programs that use it, then try again.',
        { cause },
      );
    default:
      return new CliperError(
        'camera-unsupported',
        `The camera could not be opened (${String(cause)}): try another browser.`,
        { cause },
      );
  }
}
