// A user's page: the built-in model, one picture.
import { ExpressionRecognizer } from 'cliper';

globalThis.answer = (async () => {
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu' });
  const { top, expressions } = await recognizer.recognize(new URL('./portrait.jpg', import.meta.url));
  recognizer.dispose();
  return { top, sum: expressions.reduce((sum, { score }) => sum + score, 0) };
})();
