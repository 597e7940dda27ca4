// A user's TypeScript: the published types suffice to compile it.
import { changes, ExpressionRecognizer, type FaceRecognition, notice, type Recognition } from 'cliper';
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
