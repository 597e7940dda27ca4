// A bundle that the page has already, as if it were fetched.

import { CliperError } from '../shared/errors.js';
import type { BundleFiles } from '../shared/types.js';
import type { Fetch } from './loader.js';

// No host answers to this: only `fetch` below does.
const FOLDER = 'bundle:///';

/** The manifest's address, and a fetch that answers with the files given. */
export function fromFiles(files: BundleFiles): { manifest: URL; fetch: Fetch } {
  const byName = new Map<string, Blob | BufferSource>(entries(files));
  if (!byName.has('model.json')) {
    throw new CliperError(
      'missing-file',
      `There is no model.json among the ${byName.size} files given: give it with the files that it lists.`,
    );
  }
  const answer = async (url: URL): Promise<Response> => {
    const body = byName.get(decodeURIComponent(url.pathname.slice(1)));
    return body === undefined ? new Response(null, { status: 404 }) : new Response(body);
  };
  return { manifest: new URL('model.json', FOLDER), fetch: answer };
}

function entries(files: BundleFiles): [string, Blob | BufferSource][] {
  if (!isList(files)) return Object.entries(files);
  return Array.from(files as ArrayLike<unknown>, (file) => {
    if (file instanceof File) return [file.name, file];
    throw new CliperError(
      'invalid-argument',
      'A list of a bundle must hold Files: give bytes as an object, { name: bytes }.',
    );
  });
}

/** A list has a number of files; an object may have a file of the name `length`. */
function isList(files: BundleFiles): files is Iterable<File> | ArrayLike<File> {
  return Symbol.iterator in files || typeof (files as { length?: unknown }).length === 'number';
}
