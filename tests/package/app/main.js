// A user's page: the built-in model, one picture.
import { ExpressionRecognizer } from 'cliper';

globalThis.answer = (async () => {
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu' });
  const { top, expressions } = await recognizer.recognize(new URL('./portrait.jpg', import.meta.url));
  const { state, faces } = await recognizer.recognize(new URL('./portrait.jpg', import.meta.url), { faces: true });
  recognizer.dispose();
  return { top, state, face: faces[0]?.top.name, sum: expressions.reduce((sum, { score }) => sum + score, 0) };
})();
