// Backlog of audit records that are not yet acknowledged, oldest first, bounded in bytes: its contract, and its form in memory.
import { type ChainHead, genesis } from '../../hash-chain.ts';

/** Records in order; one `next`, then one `release` of it. */
export interface Backlog {
  /** Opens what is not open. Yields the end of the chain. */
  open(): Promise<ChainHead>;
  /** Adds whole lines, each with its newline. Throws where they do not fit, or cannot be written; then none of them counts. */
  append(lines: Buffer, head: ChainHead): Promise<void>;
  /** The oldest lines, without their newlines, up to about so many bytes; none when it is empty. They stay until they are released. */
  next(maxBytes: number): Promise<readonly Buffer[]>;
  /** Forgets what `next` yielded. */
  release(): Promise<void>;
  /** Keeps a record that the receiver refuses for good apart; false where that cannot be. */
  setAside(line: Buffer): Promise<boolean>;
  /** Bytes that are held. */
  bytes(): number;
  /** Housekeeping, about once a second; throws when the backlog turns out to be broken. */
  tick(): Promise<void>;
  /** Takes over another bound. */
  resize(maxBytes: number): void;
  close(): Promise<void>;
}

/** The error of `append` for lines that do not fit. */
export function backlogFull(maxBytes: number): Error {
  return new Error(`${maxBytes} bytes of records wait for the receiver already; no more fit`);
}

/** Lines of a buffer without their newlines, as views into it. */
export function linesIn(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let from = 0;
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

/** Bytes of lines with their newlines. */
export function lengthOf(lines: readonly Buffer[]): number {
  return lines.reduce((sum, line) => sum + line.length + 1, 0);
}

/** Holds the records in memory; they end with the process. */
export function createMemoryBacklog(initialBytes: number): Backlog {
  let maxBytes = initialBytes;
  let head: ChainHead = genesis;
  let held = 0;
  const chunks: Buffer[] = [];
  let given = 0;

  return {
    open: async () => head,
    async append(lines, end) {
      if (held + lines.length > maxBytes) throw backlogFull(maxBytes);
      chunks.push(Buffer.from(lines));
      held += lines.length;
      head = end;
    },
    async next(atMost) {
      let bytes = 0;
      for (given = 0; given < chunks.length && (given === 0 || bytes + chunks[given]!.length <= atMost); given += 1) {
        bytes += chunks[given]!.length;
      }
      return chunks.slice(0, given).flatMap(linesIn);
    },
    async release() {
      for (const chunk of chunks.splice(0, given)) held -= chunk.length;
      given = 0;
    },
    setAside: async () => false,
    bytes: () => held,
    tick: async () => {},
    resize(bytes) {
      maxBytes = bytes;
    },
    close: async () => {},
  };
}
