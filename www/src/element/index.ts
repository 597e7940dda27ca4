// The package's custom elements: importing this defines <cliper-camera> and <cliper-picture>.

import { CliperCamera } from './camera.js';
import { CliperPicture } from './picture.js';

export type { ElementAnswer, ElementState } from './base.js';
export { CliperCamera, CliperPicture };

declare global {
  interface HTMLElementTagNameMap {
    'cliper-camera': CliperCamera;
    'cliper-picture': CliperPicture;
  }
}

// Twice loaded is defined once; a server has no elements.
if (globalThis.customElements && !customElements.get('cliper-camera')) {
  customElements.define('cliper-camera', CliperCamera);
  customElements.define('cliper-picture', CliperPicture);
}
