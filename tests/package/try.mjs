// What every browser is asked in its page: start, pictures, streams, films, faces, threads. Plain answers, for any driver.

/** Milliseconds that a question may take: one that never ends is named, and the next one asked. */
const LONGEST = 60_000;

/** Runs one question after the other; what one throws is its answer. */
export async function tryEverything() {
  const { ExpressionRecognizer, ImageEncoder } = await import('/src/index.js');
  const answers = {};
  const ask = async (name, run) => {
    try {
      const silence = new Promise((resolve) => setTimeout(resolve, LONGEST, 'no answer'));
      answers[name] = await Promise.race([run(), silence]);
    } catch (error) {
      answers[name] = `${error.name} ${error.code ?? ''}: ${error.message}`;
    }
  };
  const place = ({ x, y, width }) => [x, y, width].map((value) => Math.round(value / 10) * 10).join(' ');
  const recognizer = await ExpressionRecognizer.create({ device: 'cpu' });
  const top = async (picture, options) => (await recognizer.recognize(picture, options)).top.name;
  const faces = async (picture) => {
    const { faces } = await recognizer.recognize(picture, { faces: true });
    return faces.map(({ top, box }) => `${top.name} at ${place(box)}`).join();
  };
  const image = async (attributes) => {
    const element = Object.assign(new Image(), attributes);
    await element.decode();
    return element;
  };
  const film = async (name) => {
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, preload: 'auto' });
    const come = new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error(`${name} does not play here`));
    });
    video.src = `/films/${name}`;
    await come;
    return video;
  };
  const portrait = await (await fetch('/demo/portrait.jpg')).blob();
  const bitmap = await createImageBitmap(portrait);
  const wide = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
  const context = wide.getContext('2d');
  context.fillStyle = 'rgb(120 120 120)';
  context.fillRect(0, 0, 640, 480);
  context.drawImage(bitmap, 350, 20, 200, 200);
  const address = URL.createObjectURL(await new Promise((resolve) => wide.toBlob(resolve)));

  await ask('file', () => top(portrait));
  await ask('address', () => top('/demo/portrait.jpg'));
  await ask('img', async () => top(await image({ src: '/demo/portrait.jpg' })));
  await ask('canvas, faces', () => faces(wide));
  await ask('img srcset 2x, faces', async () => faces(await image({ srcset: `${address} 2x` })));
  await ask('nobody', () => faces(new ImageData(64, 64)));
  await ask('threads', async () => (await ImageEncoder.create({ device: 'cpu', threads: 2 })).info.adapter);
  await ask('stream', async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 224, height: 224 });
    let frame = 0;
    const timer = setInterval(() => {
      canvas.getContext('2d').drawImage(bitmap, 0, 0, 224, 224);
      canvas.getContext('2d').fillRect(0, 0, frame++ % 9, 2);
    }, 40);
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
    document.body.append(video);
    video.srcObject = canvas.captureStream(25);
    void video.play();
    const tops = [];
    for await (const answer of recognizer.stream(video)) if (tops.push(answer.top.name) === 3) break;
    // A camera that ends ends its stream.
    setTimeout(() => video.srcObject.getTracks().forEach((track) => track.stop()), 300);
    for await (const _ of recognizer.stream(video));
    clearInterval(timer);
    return tops.join();
  });
  await ask('film, first frame', async () => top(await film('halves.webm')));
  await ask('film, clip', async () => {
    const { timeline } = await recognizer.recognizeClip('/films/halves.webm', { frames: 8 });
    return timeline.map(({ time, top }) => `${Math.round(time * 2) / 2} ${top.name}`).join();
  });
  await ask('film, clip with faces', async () => {
    const { faces } = await recognizer.recognizeClip('/films/halves.webm', { frames: 8, faces: true });
    return faces.map(({ top, timeline }) => `${top.name} in ${timeline.length}`).join();
  });
  await ask('film, turned', async () => faces(await film('turned.mp4')));
  await ask('film, oblong', async () => faces(await film('oblong.mp4')));
  recognizer.dispose();
  return answers;
}
