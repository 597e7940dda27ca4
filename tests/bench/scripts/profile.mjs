// Where a WebGPU frame spends its time, by kernel: node tests/bench/scripts/profile.mjs [BUNDLE FOLDER], prints JSON.
//
// What a frame asks of WebGPU is kept; each different dispatch then runs many times in a pass of its own, and its share is
// its least time by its count in the frame.

import { launch, openPage } from '../../web/browser.mjs';
import { publish, readBundle } from '../../web/bundle.mjs';
import { serve } from '../../web/server.mjs';

const REPEATS = 10;
const ROUNDS = 5;

/** Runs in the worker, before the library. */
function keepDispatches(REPEATS, ROUNDS) {
  const names = new WeakMap();
  let steps;
  let device;
  const hook = (owner, method, see) => {
    const original = owner.prototype[method];
    owner.prototype[method] = function (...values) {
      const result = original.apply(this, values);
      see(this, values, result);
      return result;
    };
  };
  // A kernel's first line is its name.
  hook(GPUDevice, 'createShaderModule', (self, [{ code }], module) => {
    device = self;
    names.set(module, code.split('\n')[0].slice(3));
  });
  hook(GPUDevice, 'createComputePipeline', (_, [{ compute }], pipeline) =>
    names.set(pipeline, names.get(compute.module)),
  );
  let pipeline;
  let group;
  hook(GPUComputePassEncoder, 'setPipeline', (_, [value]) => (pipeline = value));
  hook(GPUComputePassEncoder, 'setBindGroup', (_, [, value]) => (group = value));
  hook(GPUComputePassEncoder, 'dispatchWorkgroups', (_, workgroups) => steps?.push({ pipeline, group, workgroups }));
  const time = async (run) => {
    let least = Infinity;
    for (let round = 0; round <= ROUNDS; round++) {
      const start = performance.now();
      const commands = device.createCommandEncoder();
      const pass = commands.beginComputePass();
      for (const { pipeline, group, workgroups } of run) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
      device.queue.submit([commands.finish()]);
      await device.queue.onSubmittedWorkDone();
      least = Math.min(least, performance.now() - start);
    }
    return least;
  };
  const channel = new BroadcastChannel('profile');
  channel.onmessage = async ({ data }) => {
    if (data === 'keep') {
      steps = [];
      channel.postMessage('kept');
    }
    if (data !== 'profile') return;
    const kept = steps;
    steps = undefined;
    const [passMs, emptyPassMs] = [await time(kept), await time([])];
    const kinds = new Map();
    for (const step of kept) {
      const key = JSON.stringify([names.get(step.pipeline), step.workgroups]);
      const kind = kinds.get(key) ?? { step, count: 0 };
      kind.count += 1;
      kinds.set(key, kind);
    }
    const kernels = {};
    for (const { step, count } of kinds.values()) {
      const ms = (count * ((await time(Array(REPEATS).fill(step))) - emptyPassMs)) / REPEATS;
      const kernel = (kernels[names.get(step.pipeline)] ??= { dispatches: 0, ms: 0 });
      kernel.dispatches += count;
      kernel.ms += ms;
    }
    const sum = Object.values(kernels).reduce((sum, { ms }) => sum + ms, 0);
    for (const kernel of Object.values(kernels)) kernel.share = kernel.ms / sum;
    channel.postMessage({ passMs, emptyPassMs, kernels });
  };
}

const server = await serve();
server.own.set(
  '/kept.js',
  Buffer.from(`
    const queue = [];
    const keep = (event) => queue.push(event.data);
    self.addEventListener('message', keep);
    (${keepDispatches})(${REPEATS}, ${ROUNDS});
    await import('/src/worker/worker.js');
    self.removeEventListener('message', keep);
    for (const data of queue) self.dispatchEvent(new MessageEvent('message', { data }));
  `),
);
const browser = await launch({ webgpu: true });
try {
  const model = publish(server, 'profiled', await readBundle(process.argv[2]));
  const { page } = await openPage(browser, `${server.url}/blank.html`);
  page.setDefaultTimeout(0);
  const profile = await page.evaluate(async (model) => {
    const { ExpressionRecognizer } = await import('/src/index.js');
    const createWorker = () => new Worker('/kept.js', { type: 'module' });
    const recognizer = await ExpressionRecognizer.create({ device: 'webgpu', model, createWorker });
    const picture = await (await fetch('/demo/portrait.jpg')).blob();
    const channel = new BroadcastChannel('profile');
    const ask = (question) =>
      new Promise((resolve) => {
        channel.onmessage = ({ data }) => resolve(data);
        channel.postMessage(question);
      });
    await ask('keep');
    await recognizer.recognize(picture);
    return { model: recognizer.info.model, adapter: recognizer.info.adapter, ...(await ask('profile')) };
  }, model);
  console.log(JSON.stringify(profile, null, 2));
} finally {
  await browser.close();
  await server.close();
}
