// A user's TypeScript: the published types suffice to compile it.
import {
  CliperError,
  changes,
  type Displayed,
  display,
  type ErrorCode,
  ExpressionRecognizer,
  type FaceRecognition,
  ImageEncoder,
  notice,
  type Recognition,
} from 'cliper';
import { CliperPicture, type ElementAnswer } from 'cliper/element';

export async function name(video: HTMLVideoElement): Promise<string> {
  const recognizer: ExpressionRecognizer = await ExpressionRecognizer.create({ device: 'cpu' });
  const { top }: Recognition = await recognizer.recognize(video);
  return top.name;
}

export async function follow(video: HTMLVideoElement): Promise<void> {
  const recognizer: ExpressionRecognizer<FaceRecognition> = await ExpressionRecognizer.create({
    faces: { maxFaces: 2 },
  });
  const whole: Recognition = await recognizer.recognize(video, { faces: false });
  console.log(whole.top.name);
  for await (const { state, faces } of recognizer.stream(video, { rate: 4 })) {
    if (state !== 'no-face') console.log(faces.map(({ id, top, box }) => `${id} ${top.name} ${box.width}`));
  }
}

export async function tell(recognizer: ExpressionRecognizer, video: HTMLVideoElement): Promise<void> {
  for await (const { from, to, sentence } of changes(recognizer.stream(video), { hold: 500 })) {
    console.log(from ?? 'nothing', to ?? 'nothing', sentence, notice('en'));
  }
}

export function look(file: File): ElementAnswer | undefined {
  const element = document.createElement('cliper-picture');
  element.picture = file;
  console.log(element instanceof CliperPicture, element.state);
  return element.answer;
}

export async function summary(film: Blob, signal: AbortSignal): Promise<string> {
  try {
    using recognizer = await ExpressionRecognizer.create({ signal, assets: '/cliper/' });
    const { top, timeline } = await recognizer.recognizeClip(film, { from: 1, frames: 8 });
    const { faces } = await recognizer.recognizeClip(film, { faces: true });
    return `${top.name} ${timeline.length} ${faces.map(({ timeline }) => timeline.length)}`;
  } catch (error) {
    if (!(error instanceof CliperError)) throw error;
    const code: ErrorCode = error.code;
    return code;
  }
}

export function calm(before: Displayed | undefined, answer: Recognition, now: number): string {
  const { top, uncertain } = display(before, answer, now, { hysteresis: 0.1 });
  return uncertain ? '' : top.name;
}

export async function embed(pixels: Float32Array): Promise<number> {
  const encoder = await ImageEncoder.create({ model: '/my-bundle/model.json', precision: 'int8' });
  const embeddings: Float32Array = await encoder.encode(pixels);
  return embeddings.length;
}

export async function mistakes(recognizer: ExpressionRecognizer): Promise<void> {
  // @ts-expect-error: an option that there is not
  await ExpressionRecognizer.create({ devise: 'cpu' });
  // @ts-expect-error: a device that there is not
  await ExpressionRecognizer.create({ device: 'npu' });
  // @ts-expect-error: without faces there are none
  console.log((await recognizer.recognize('/portrait.jpg')).faces);
  // @ts-expect-error: a code that there is not
  const code: ErrorCode = 'broken';
  console.log(code);
}
