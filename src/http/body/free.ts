// Release of a buffer's memory at once, which V8 counts and otherwise takes back only with a collection of the whole heap.

/** Smaller buffers cost less than their release. */
const leastBytes = 4096;

/**
 * Frees the memory of a buffer that has it alone; the buffer is empty afterwards. Nobody reads it any more, and no system call that writes it is
 * under way.
 */
export function freeBuffer({ buffer, length }: Buffer): void {
  if (length >= leastBytes && length === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
