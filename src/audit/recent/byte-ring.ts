// Ring buffer of texts (UTF-8) in one allocation: the oldest make room for the newest, and no object is kept for any of them.

/** The size of a ring. */
export interface RingSize {
  /** Of all texts together. The system gives memory only for what was written. */
  readonly bytes: number;
  /** The number of texts. */
  readonly entries: number;
}

/** Texts by their number, which counts from 1 and is never given again. */
export interface ByteRing {
  /** Adds a text, which is not empty and whose UTF-8 is at most a quarter of the ring. A longer one is refused: then it yields false, and nothing has changed. */
  add(text: string, kind: number): boolean;
  /** The number of the newest text; 0 before the first. */
  newest(): number;
  /** The number of the oldest text that is still there; above `newest()` while there is none. */
  oldest(): number;
  /** The bytes of a text that is still there. They are valid until the next `add`. */
  bytesOf(entry: number): Buffer;
  /** The kind that it was added with, from 0 to 255. */
  kindOf(entry: number): number;
}

/** A UTF-16 unit is at most three bytes of UTF-8. */
const maxUnitBytes = 3;

/** Creates an empty ring. */
export function createByteRing({ bytes: size, entries }: RingSize): ByteRing {
  // Zeroed memory of this size is mapped, and committed page by page as it is written.
  const bytes = Buffer.alloc(size);
  const starts = new Uint32Array(entries);
  const lengths = new Uint32Array(entries);
  const kinds = new Uint8Array(entries);
  let newest = 0;
  let oldest = 1;
  let end = 0;

  /** Drops the oldest texts that begin in a part of the buffer. In the order of their age they stand behind `end`, then before it. */
  function drop(from: number, to: number): void {
    while (oldest <= newest) {
      const start = starts[oldest % entries]!;
      if (start < from || start >= to) return;
      oldest += 1;
    }
  }

  return {
    add(text, kind) {
      const needed = text.length * maxUnitBytes;
      if (needed > size / 4 && Buffer.byteLength(text) > size / 4) return false;
      if (end + needed > size) {
        drop(end, size);
        end = 0;
      }
      drop(end, end + needed);
      if (newest + 1 - oldest === entries) oldest += 1;
      newest += 1;
      const slot = newest % entries;
      starts[slot] = end;
      lengths[slot] = bytes.write(text, end);
      kinds[slot] = kind;
      end += lengths[slot]!;
      return true;
    },
    newest: () => newest,
    oldest: () => oldest,
    bytesOf(entry) {
      const start = starts[entry % entries]!;
      return bytes.subarray(start, start + lengths[entry % entries]!);
    },
    kindOf: (entry) => kinds[entry % entries]!,
  };
}
