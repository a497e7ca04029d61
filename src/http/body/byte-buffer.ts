// Growing byte buffer: pieces of any size in at most twice their bytes and 64 KiB of memory, or in one part of a size that is known.

const smallestSlab = 1024;
const largestSlab = 65_536;

/** Collects bytes in their order. */
export interface ByteBuffer {
  length(): number;
  /** Copies the piece, so that nothing of its memory is kept; a first one is kept until a second comes. */
  append(piece: Buffer): void;
  /** Gives all bytes, and leaves the buffer empty. */
  take(): Buffer;
}

const empty = Buffer.alloc(0);

const ignore = (): void => {};

/** Creates an empty buffer. As many bytes as are expected are reserved with the second piece, and copied once. `onCopied` gets each piece that was copied. */
export function createByteBuffer(expectedBytes = 0, onCopied: (piece: Buffer) => void = ignore): ByteBuffer {
  let first: Buffer | undefined;
  let full: Buffer[] = [];
  let slab = empty;
  let used = 0;
  let length = 0;

  function copy(piece: Buffer): void {
    for (let from = 0; from < piece.length; ) {
      if (used === slab.length) {
        if (used > 0) full.push(slab);
        const slabBytes = Math.min(largestSlab, Math.max(smallestSlab, length, piece.length));
        slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, expectedBytes - length));
        used = 0;
      }
      const copied = piece.copy(slab, used, from);
      used += copied;
      from += copied;
      length += copied;
    }
    onCopied(piece);
  }

  return {
    length: () => length + (first?.length ?? 0),
    append(piece) {
      if (first === undefined && length === 0) first = piece;
      else {
        if (first !== undefined) {
          const earlier = first;
          first = undefined;
          copy(earlier);
        }
        copy(piece);
      }
    },
    take() {
      const whole =
        first ??
        (full.length === 0 ? slab.subarray(0, used) : Buffer.concat([...full, slab.subarray(0, used)], length));
      first = undefined;
      full = [];
      slab = empty;
      used = 0;
      length = 0;
      return whole;
    },
  };
}
