// One engine on a page that has nothing else: from the page's opening to its first embedding.

import type * as cliper from './cliper.js';
import { expected, pixels, type Setting } from './contenders.js';

const { engine, threads, ...setting } = Object.fromEntries(new URL(location.href).searchParams);
const [{ encoder }, { shape }] = await Promise.all([
  import(`./${engine}.js`) as Promise<typeof cliper>,
  expected(setting.model ?? ''),
]);
const begun = performance.now();
const running = await encoder({ ...setting, threads: Number(threads) } as unknown as Setting).create();
const ready = performance.now();
await running.encode(pixels(shape), shape);
Object.assign(globalThis, { started: { createMs: ready - begun, pageToFirstMs: performance.now() } });
