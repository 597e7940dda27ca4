// The benchmark's page: what to compare, a table as it goes, and everything as JSON.

import { cliper, cliperFrames, humanFrames, onnxruntime, type Setting } from './contenders.js';
import { compareEncoders, compareFrames, type EncoderResult, type FrameResult } from './measure.js';

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
  results?: EncoderResult[];
  /** Why there are none. */
  failed?: string;
}

interface Results {
  browser: string;
  cores: number;
  isIsolated: boolean;
  adapter: string | null;
  rows: Row[];
  frames: FrameResult[] | { failed: string } | null;
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
      const { embedding } = (await (await fetch(`models/${setting.model}/expected.json`)).json()) as {
        embedding: number[];
      };
      const rounds = setting.device === 'cpu' || !isSoftware(results) ? choice.rounds : Math.min(choice.rounds, 3);
      row.results = await compareEncoders([cliper(setting), onnxruntime(setting)], embedding, rounds, say);
      for (const result of row.results) addRow(name, result, `${result.cosine.toFixed(6)}`);
    } catch (thrown) {
      row.failed = String(thrown);
      addRow(name, { engine: '', medianMs: NaN, p90Ms: NaN, createMs: NaN, firstMs: NaN }, row.failed);
    }
    output.textContent = JSON.stringify(results, null, 2);
  }
  if (choice.frames) {
    try {
      const picture = await (await fetch('../demo/portrait.jpg')).blob();
      const say = (what: string): void => void (status.textContent = `frames: ${what}`);
      results.frames = await compareFrames([cliperFrames, humanFrames], picture, choice.rounds * 5 + 3, say);
      for (const result of results.frames) addRow('640 x 480 frame, built-in model', result, result.answer);
    } catch (thrown) {
      results.frames = { failed: String(thrown) };
    }
  }
  output.textContent = JSON.stringify(results, null, 2);
  status.textContent = 'Done. The JSON below has everything.';
  button.disabled = false;
  return results;
}

function settings(choice: Choice, { isIsolated, adapter }: Results): Setting[] {
  return choice.models.flatMap((model) =>
    choice.devices.flatMap((device) =>
      choice.precisions.flatMap((precision) =>
        choice.threads
          // Threads need a page that is isolated from others; a GPU has its own.
          .filter((threads, index) =>
            device === 'webgpu' ? adapter !== null && index === 0 && precision === 'f32' : threads === 1 || isIsolated,
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

function addRow(
  what: string,
  {
    engine,
    medianMs,
    p90Ms,
    createMs,
    firstMs,
  }: Pick<EncoderResult, 'engine' | 'medianMs' | 'p90Ms' | 'createMs' | 'firstMs'>,
  last: string,
): void {
  const row = document.createElement('tr');
  const numbers = [medianMs, p90Ms, createMs, firstMs].map((time) => (Number.isNaN(time) ? '' : time.toFixed(1)));
  for (const text of [what, engine, ...numbers, last])
    row.append(Object.assign(document.createElement('td'), { textContent: text }));
  table.append(row);
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

// For `cargo pkg bench`.
Object.assign(globalThis, { run });
