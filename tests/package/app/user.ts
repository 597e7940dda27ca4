// A user's TypeScript: the published types suffice to compile it.
import { ExpressionRecognizer, type Recognition } from 'cliper';

export async function name(video: HTMLVideoElement): Promise<string> {
  const recognizer: ExpressionRecognizer = await ExpressionRecognizer.create({ device: 'cpu' });
  const { top }: Recognition = await recognizer.recognize(video);
  return top.name;
}
