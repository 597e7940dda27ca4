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

/** A copy whose weights lie in `count` files, as a large model's do. */
export function withShards(bundle, count) {
  const { path } = fileOf(bundle, 'weights');
  const bytes = bundle.get(path);
  const size = Number(bytes.readBigUInt64LE());
  const { __metadata__, ...tensors } = JSON.parse(bytes.subarray(8, 8 + size));
  // An 8-bit tensor's scales lie beside it.
  const base = (name) => name.replace(/\.scales$/, '');
  const names = Object.keys(tensors);
  const bases = [...new Set(names.map(base))];
  const copy = new Map(bundle);
  copy.delete(path);
  const entries = Array.from({ length: count }, (_, index) => {
    const own = names.filter((name) => bases.indexOf(base(name)) % count === index);
    const header = { __metadata__ };
    const values = own.map((name) => bytes.subarray(...tensors[name].data_offsets.map((offset) => 8 + size + offset)));
    let end = 0;
    own.forEach((name, place) => {
      header[name] = { ...tensors[name], data_offsets: [end, (end += values[place].length)] };
    });
    const head = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(head.length));
    const shard = Buffer.concat([length, head, ...values]);
    const name = `shard-${index}.safetensors`;
    copy.set(name, shard);
    return {
      path: name,
      role: 'weights',
      bytes: shard.length,
      sha256: createHash('sha256').update(shard).digest('hex'),
    };
  });
  return withManifest(copy, (manifest) => {
    manifest.files = [...entries, ...manifest.files.filter((file) => file.path !== path)];
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
