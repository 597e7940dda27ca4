// Counts what the page asks of the network from now on, and shows it: that nothing leaves is then seen, not only said.

/** Calls `show` with the count at once, and at every request. */
export function countRequests(show: (count: number) => void): void {
  let count = 0;
  const since = performance.now();
  const add = (more: number): void => {
    count += more;
    show(count);
  };
  add(0);
  new PerformanceObserver((list) => {
    // What lies in the page's memory (blob:, data:) is no request.
    const asked = list.getEntries().filter(({ name, startTime }) => /^https?:/.test(name) && startTime >= since);
    if (asked.length > 0) add(asked.length);
  }).observe({ type: 'resource' });
  // An update fetches its files in the service worker.
  navigator.serviceWorker?.addEventListener('message', ({ data }) => data === 'request' && add(1));
}
