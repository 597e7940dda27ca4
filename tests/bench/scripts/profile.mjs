// Where a WebGPU pass spends its time, by kernel: node tests/bench/scripts/profile.mjs [BUNDLE FOLDER], prints JSON.
//
// Each different dispatch runs many times in a pass of its own; its share is its least time by its count in the plan.

import { launch, openPage } from '../../web/browser.mjs';
import { publish, readBundle } from '../../web/bundle.mjs';
import { serve } from '../../web/server.mjs';

const REPEATS = 10;
const ROUNDS = 5;

const server = await serve();
const browser = await launch({ webgpu: true });
try {
  const address = publish(server, 'profiled', await readBundle(process.argv[2]));
  const { page } = await openPage(browser, `${server.url}/blank.html`);
  page.setDefaultTimeout(0);
  const profile = await page.evaluate(
    async ({ address, REPEATS, ROUNDS }) => {
      const { Gpu } = await import('/src/worker/gpu.js');
      const { default: init, BundleLoader } = await import('/src/wasm/webgpu/cliper.js');
      await init({ module_or_path: await WebAssembly.compileStreaming(fetch('/src/wasm/webgpu/cliper_bg.wasm')) });
      const get = async (path) => (await fetch(new URL(path, new URL(address, location.href)))).arrayBuffer();
      const loader = new BundleLoader(new TextDecoder().decode(await get('model.json')));
      for (const { path } of loader.files) loader.add(path, new Uint8Array(await get(path)));
      const gpu = await Gpu.open();
      let plan;
      const { prepare } = gpu;
      gpu.prepare = (whole) => prepare.call(gpu, (plan = whole));
      loader.setGpu(gpu);
      const session = await loader.open();
      const pixels = new Float32Array(plan.work[0] / 4);
      const time = async () => {
        let least = Infinity;
        for (let round = 0; round <= ROUNDS; round++) {
          const start = performance.now();
          await gpu.run(pixels);
          least = Math.min(least, performance.now() - start);
        }
        return least;
      };
      const whole = plan;
      const pass = await time();
      await gpu.prepare({ ...whole, steps: [] });
      const empty = await time();
      const kinds = new Map();
      for (const step of whole.steps) {
        const key = JSON.stringify([step.kernel, step.size]);
        const kind = kinds.get(key) ?? { step, count: 0 };
        kind.count += 1;
        kinds.set(key, kind);
      }
      const kernels = {};
      for (const { step, count } of kinds.values()) {
        await gpu.prepare({ ...whole, steps: Array(REPEATS).fill(step) });
        const ms = (count * ((await time()) - empty)) / REPEATS;
        const kernel = (kernels[whole.kernels[step.kernel].name] ??= { dispatches: 0, ms: 0 });
        kernel.dispatches += count;
        kernel.ms += ms;
      }
      const sum = Object.values(kernels).reduce((sum, { ms }) => sum + ms, 0);
      for (const kernel of Object.values(kernels)) kernel.share = kernel.ms / sum;
      return { model: session.info.model, adapter: gpu.adapter, passMs: pass, emptyPassMs: empty, kernels };
    },
    { address, REPEATS, ROUNDS },
  );
  console.log(JSON.stringify(profile, null, 2));
} finally {
  await browser.close();
  await server.close();
}
