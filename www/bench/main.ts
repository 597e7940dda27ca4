// The benchmark's page: what to compare, a table as it goes, and everything as JSON.

import * as cliper from './cliper.js';
import { expected, type Setting } from './contenders.js';
import * as human from './human.js';
import * as litert from './litert.js';
import { compareEncoders, compareFrames, type EncoderResult, type Failed, type FrameResult } from './measure.js';
import * as mediapipe from './mediapipe.js';
import * as onnxruntime from './onnxruntime.js';

const ENCODERS = [cliper, litert, onnxruntime];
const FRAMES = [cliper.frames, mediapipe.frames, mediapipe.followed, human.frames];
/** Of a software adapter a large model takes minutes a picture. */
const SMALL = ['built-in', 'vit-tiny-16'];

/** What to compare; `cargo pkg bench` gives it in the address. */
interface Choice {
  models: string[];
  devices: ('cpu' | 'webgpu')[];
  precisions: ('f32' | 'int8')[];
  threads: number[];
  rounds: number;
  frames: boolean;
}

interface Row {
  setting: Setting;
  results?: (EncoderResult | Failed)[];
  /** Why there are none. */
  failed?: string;
}

interface Results {
  browser: string;
  cores: number;
  isIsolated: boolean;
  adapter: string | null;
  rows: Row[];
  frames: (FrameResult | Failed)[] | { failed: string } | null;
}

const status = element('status');
const table = element('results');
const output = element('json');
const form = element('choice') as HTMLFormElement;

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const chosen = (name: string): string[] => new FormData(form).getAll(name).map(String);
  const choice = {
    models: chosen('model'),
    devices: chosen('device') as Choice['devices'],
    precisions: chosen('precision') as Choice['precisions'],
    threads: chosen('threads').map(Number),
    rounds: Number(chosen('rounds')[0]),
    frames: chosen('frames').length > 0,
  };
  void run(choice);
});

/** Compares everything that was chosen; a setting that fails says why, and the rest goes on. */
async function run(choice: Choice): Promise<Results> {
  const button = element('run') as HTMLButtonElement;
  button.disabled = true;
  table.replaceChildren();
  const results: Results = {
    browser: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    isIsolated: crossOriginIsolated,
    adapter: await adapterName(),
    rows: [],
    frames: null,
  };
  for (const setting of settings(choice, results)) {
    const threads = setting.threads === 1 ? '1 thread' : `${setting.threads} threads`;
    const name = `${setting.model}, ${setting.device}, ${setting.precision}, ${threads}`;
    const say = (what: string): void => void (status.textContent = `${name}: ${what}`);
    const row: Row = { setting };
    results.rows.push(row);
    try {
      const isSlow = setting.device === 'webgpu' && isSoftware(results);
      row.results = await compareEncoders(
        ENCODERS.map(({ encoder }) => encoder(setting)),
        await expected(setting.model),
        isSlow ? Math.min(choice.rounds, 3) : choice.rounds,
        isSlow ? 0 : 3,
        say,
      );
      for (const result of row.results) addRow(name, result, ({ cosine }) => cosine.toFixed(6));
    } catch (thrown) {
      row.failed = String(thrown);
      addRow(name, { engine: '', failed: row.failed }, String);
    }
    output.textContent = JSON.stringify(results, null, 2);
  }
  if (choice.frames) {
    try {
      const picture = await (await fetch('../demo/portrait.jpg')).blob();
      const say = (what: string): void => void (status.textContent = `frames: ${what}`);
      results.frames = await compareFrames(FRAMES, picture, choice.rounds, say);
      for (const result of results.frames) addRow('640 x 480 frame', result, ({ answer }) => answer);
    } catch (thrown) {
      results.frames = { failed: String(thrown) };
    }
  }
  output.textContent = JSON.stringify(results, null, 2);
  status.textContent = 'Done. The JSON below has everything.';
  button.disabled = false;
  return results;
}

function settings(choice: Choice, results: Results): Setting[] {
  const { isIsolated, adapter } = results;
  const isLeftOut = (model: string): boolean =>
    isSoftware(results) && choice.devices.includes('cpu') && !SMALL.includes(model);
  return choice.models.flatMap((model) =>
    choice.devices.flatMap((device) =>
      choice.precisions.flatMap((precision) =>
        choice.threads
          // Threads need a page that is isolated from others; a GPU has its own.
          .filter((threads, index) =>
            device === 'webgpu'
              ? adapter !== null && index === 0 && precision === 'f32' && !isLeftOut(model)
              : threads === 1 || isIsolated,
          )
          .map((threads) => ({ model, device, precision, threads })),
      ),
    ),
  );
}

async function adapterName(): Promise<string | null> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  const { vendor, architecture, device, description } = adapter.info;
  return [vendor, architecture, device, description].filter(Boolean).join(' ') || 'unnamed';
}

function isSoftware({ adapter }: Results): boolean {
  return adapter !== null && /swiftshader|llvmpipe|lavapipe|warp/i.test(adapter);
}

function addRow<R extends EncoderResult | FrameResult>(
  what: string,
  result: R | Failed,
  last: (result: R) => string,
): void {
  const row = document.createElement('tr');
  const cells = 'failed' in result ? ['', '', '', '', result.failed] : [...times(result), last(result)];
  for (const text of [what, result.engine, ...cells])
    row.append(Object.assign(document.createElement('td'), { textContent: text }));
  table.append(row);
}

function times({ medianMs, cpuMs, createMs, firstMs }: EncoderResult | FrameResult): string[] {
  return [medianMs, cpuMs, createMs, firstMs].map((time) => (Number.isNaN(time) ? '' : time.toFixed(1)));
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

// For `cargo pkg bench`.
Object.assign(globalThis, { run });
