// What WebGPU adapter the browser has, if any.

import type { Adapter } from '../shared/protocol.js';

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i;

/** The browser's best adapter, if it has one. */
export async function findAdapter(): Promise<GPUAdapter | null> {
  return (await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
}

/** What the browser tells of an adapter. */
export function describeAdapter(adapter: GPUAdapter): { name: string; isSoftware: boolean } {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = [vendor, architecture, device, description].filter(Boolean).join(' ') || 'unnamed';
  return { name, isSoftware: isFallbackAdapter === true || SOFTWARE.test(name) };
}

/** Asks the browser for an adapter; any failure means that there is none. */
export async function probeAdapter(): Promise<Adapter | null> {
  try {
    const adapter = await findAdapter();
    return adapter && describeAdapter(adapter);
  } catch {
    return null;
  }
}
