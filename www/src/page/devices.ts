// Which devices to try, in which order, and why not the first choice: pure.

import { CliperError } from '../shared/errors.js';
import type { Adapter } from '../shared/protocol.js';
import type { CreateOptions, Device } from '../shared/types.js';
import { inWords } from '../shared/values.js';

export interface DevicePlan {
  /** Devices to try, best first. */
  devices: readonly [Device, ...Device[]];
  /** Why the first choice was left out, as a sentence. */
  fallback?: string;
}

/** Orders the devices for what was asked and what is there. */
export function planDevices(asked: NonNullable<CreateOptions['device']>, adapter: Adapter | null): DevicePlan {
  switch (asked) {
    case 'cpu':
      return { devices: ['cpu'] };
    case 'webgpu':
      if (adapter) return { devices: ['webgpu'] };
      throw new CliperError(
        'device-unavailable',
        "There is no WebGPU adapter here: take device 'auto' or 'cpu', or a browser and graphics driver with WebGPU.",
      );
    case 'auto':
      if (!adapter) {
        return { devices: ['cpu'], fallback: 'There is no WebGPU adapter here, so the CPU computes.' };
      }
      if (adapter.isSoftware) {
        return {
          devices: ['cpu'],
          fallback: `The only WebGPU adapter here (${adapter.name}) is software, which is slower than the CPU itself.`,
        };
      }
      return { devices: ['webgpu', 'cpu'] };
    default:
      throw new CliperError(
        'invalid-argument',
        `There is no device '${inWords(asked)}': take 'auto', 'webgpu' or 'cpu'.`,
      );
  }
}
