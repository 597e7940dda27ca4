// Keeps the page's files for visits without a network; the model's lie in the library's own cache. A new version waits until
// the page takes it.

/** What each file holds, by its path from here: assemble.mjs writes both. `used` are kept once the page has used them. */
const FILES = { always: {}, used: {} };

const CACHE = 'cliper-page';
const BESIDE = new URL('./', self.location.href);

/** A file of this version, under the hash of what it holds: what an update did not change is not fetched again. */
function keyOf(path) {
  const hash = FILES.always[path] ?? FILES.used[path];
  return hash && new URL(`${path}?${hash}`, BESIDE).href;
}

function pathOf(address) {
  const { origin, pathname } = new URL(address);
  if (origin !== BESIDE.origin || !pathname.startsWith(BESIDE.pathname)) return undefined;
  const path = pathname.slice(BESIDE.pathname.length);
  return path === '' || path.endsWith('/') ? `${path}index.html` : path;
}

async function keep(path) {
  const cache = await caches.open(CACHE);
  const key = keyOf(path);
  if (!key || (await cache.match(key))) return;
  for (const client of await self.clients.matchAll()) client.postMessage('request');
  const response = await fetch(new URL(path, BESIDE), { cache: 'no-cache' });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  await cache.put(key, response);
}

async function dropOthers() {
  const cache = await caches.open(CACHE);
  const keys = new Set([...Object.keys(FILES.always), ...Object.keys(FILES.used)].map(keyOf));
  for (const { url } of await cache.keys()) if (!keys.has(url)) await cache.delete(url);
}

self.addEventListener('install', (event) => {
  event.waitUntil(Promise.all(Object.keys(FILES.always).map(keep)));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(dropOthers().then(() => self.clients.claim()));
});

self.addEventListener('message', (event) => {
  if (event.data === 'take over') self.skipWaiting();
  if (!event.data.keep) return;
  const kept = Promise.all(event.data.keep.map((address) => keep(pathOf(address)))).then(
    () => true,
    () => false,
  );
  event.waitUntil(kept.then((isKept) => event.ports[0].postMessage(isKept)));
});

self.addEventListener('fetch', (event) => {
  const key = event.request.method === 'GET' && keyOf(pathOf(event.request.url));
  if (!key) return;
  const kept = caches.open(CACHE).then((cache) => cache.match(key));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
