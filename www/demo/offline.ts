// Keeps the page for visits without a network, by its service worker, and tells of a new version.

/**
 * Resolves to whether the page is kept now, with the engine's file that it has used. `onUpdate` is told of a new version
 * that waits, with what takes it.
 */
export async function keepOffline(onUpdate: (take: () => void) => void): Promise<boolean> {
  if (!('serviceWorker' in navigator)) return false;
  const { serviceWorker } = navigator;
  try {
    const registration = await serviceWorker.register(new URL('../service-worker.js', document.baseURI));
    const offer = (worker: ServiceWorker): void => {
      if (!serviceWorker.controller) return;
      onUpdate(() => {
        serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
        worker.postMessage('take over');
      });
    };
    if (registration.waiting) offer(registration.waiting);
    registration.addEventListener('updatefound', () => {
      const { installing } = registration;
      installing?.addEventListener('statechange', () => installing.state === 'installed' && offer(installing));
    });
    const worker = registration.active ?? registration.waiting ?? registration.installing;
    return worker !== null && (await isActive(worker)) && (await keepEngine(worker));
  } catch {
    // A browser that keeps nothing (a private window, a policy) changes nothing else.
    return false;
  }
}

function isActive(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker.state === 'activated') resolve(true);
      if (worker.state === 'redundant') resolve(false);
    };
    worker.addEventListener('statechange', look);
    look();
  });
}

/** Of the engine's files only the one is kept that this browser took. */
function keepEngine(worker: ServiceWorker): Promise<boolean> {
  const addresses = performance.getEntriesByType('resource').map(({ name }) => name);
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data === true);
    worker.postMessage({ keep: addresses.filter((address) => address.endsWith('.wasm')) }, [port2]);
  });
}
