// The built-in bundle, and copies of it with something wrong.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DIST } from './server.mjs';

/** The bundle's files by name, `model.json` among them. */
export async function readBundle(folder = join(DIST, 'src/model')) {
  const names = await readdir(folder);
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])));
}

/** A copy with the manifest as `change` leaves it. */
export function withManifest(bundle, change) {
  const manifest = JSON.parse(bundle.get('model.json'));
  change(manifest);
  return new Map(bundle).set('model.json', Buffer.from(JSON.stringify(manifest)));
}

/** A copy with other bytes in the file of `role`. `isListed`: the manifest agrees with them. */
export function withFile(bundle, role, change, { isListed = false } = {}) {
  const { path } = fileOf(bundle, role);
  const bytes = change(bundle.get(path));
  const copy = new Map(bundle).set(path, bytes);
  if (!isListed) return copy;
  return withManifest(copy, ({ files }) => {
    const entry = files.find((file) => file.path === path);
    entry.bytes = bytes.length;
    entry.sha256 = createHash('sha256').update(bytes).digest('hex');
  });
}

/** The manifest's entry of a role. */
export function fileOf(bundle, role) {
  return JSON.parse(bundle.get('model.json')).files.find((file) => file.role === role);
}

/** Puts a bundle on a server, and says where its manifest is. */
export function publish(server, name, bundle) {
  for (const [path, bytes] of bundle) server.own.set(`/bundles/${name}/${path}`, bytes);
  return `/bundles/${name}/model.json`;
}
