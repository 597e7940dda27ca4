// A picture file's size from its first bytes, so that one far too large is refused before it is decoded.

/** Bytes that are read: a JPEG's size stands behind its metadata. */
const HEAD = 2 ** 18;

interface Size {
  width: number;
  height: number;
}

/** The size that a file says it has, unturned; undefined where its first bytes don't tell. */
export async function sizeOfFile(file: Blob): Promise<Size | undefined> {
  const view = new DataView(await file.slice(0, HEAD).arrayBuffer());
  try {
    return readPng(view) ?? readJpeg(view) ?? readGif(view) ?? readWebp(view) ?? readBmp(view);
  } catch (thrown) {
    if (thrown instanceof RangeError) return undefined; // the file ends first
    throw thrown;
  }
}

/** The four letters at a place. */
function letters(view: DataView, at: number): string {
  return String.fromCharCode(...Array.from({ length: 4 }, (_, index) => view.getUint8(at + index)));
}

function readPng(view: DataView): Size | undefined {
  if (letters(view, 0) !== '\x89PNG') return undefined;
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function readGif(view: DataView): Size | undefined {
  if (letters(view, 0) !== 'GIF8') return undefined;
  return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
}

function readBmp(view: DataView): Size | undefined {
  if (view.getUint16(0) !== 0x424d) return undefined;
  return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
}

function readWebp(view: DataView): Size | undefined {
  if (letters(view, 0) !== 'RIFF' || letters(view, 8) !== 'WEBP') return undefined;
  switch (letters(view, 12)) {
    case 'VP8X':
      return { width: 1 + (view.getUint32(23, true) >>> 8), height: 1 + (view.getUint32(26, true) >>> 8) };
    case 'VP8L': {
      const bits = view.getUint32(21, true);
      return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
    }
    default:
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
}

function readJpeg(view: DataView): Size | undefined {
  if (view.getUint16(0) !== 0xffd8) return undefined;
  let at = 2;
  for (;;) {
    // Any number of 0xff may stand before a marker.
    while (view.getUint8(at) === 0xff) at++;
    const marker = view.getUint8(at);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { width: view.getUint16(at + 6), height: view.getUint16(at + 4) };
    at += 1 + view.getUint16(at + 1);
  }
}
