// Signed heads of the chains in use: their making, the last of each, and the state file that holds them.
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { ChainHead } from '../hash-chain.ts';
import type { LogEvent } from '../sinks/sink-type.ts';
import { type Truncation, type Unheld, writeHeadState } from './head-state.ts';
import { deletionText, type HeadKey, headText, type SignedHead, type SinkHead, signText } from './signed-head.ts';

/** `audit.sign` with its key. */
export interface Signing {
  readonly key: HeadKey;
  /** Milliseconds between heads of a chain that grows. */
  readonly every: number;
  readonly stateFile?: string | undefined;
  readonly onTruncation: 'refuse' | 'continue';
}

/** Called for failures. */
export interface HeadObserver {
  truncated(): void;
  stateFailed(): void;
}

/** Options of `createHeads`. */
export interface HeadsOptions {
  readonly instance: string;
  readonly now: () => number;
  readonly log: Log;
  readonly observe?: Partial<HeadObserver> | undefined;
  /** Writes a record of the log's own to every sink. */
  readonly record: (event: LogEvent) => void;
}

/** A head, and the event of its record. */
export interface NewHead {
  readonly head: SignedHead;
  readonly event: LogEvent;
}

/** The last head of a sink. */
interface KnownHead {
  readonly head: SinkHead;
  /** Makes its record durable. */
  readonly synced: (() => Promise<void>) | undefined;
}

/** The heads of the sinks, which are named by their keys. */
export interface Heads {
  /** Takes over what is in force. The heads of other sinks than these are forgotten; another state file gets those of these sinks. */
  configure(signing: Signing | undefined, sinks: readonly string[]): void;
  /** Undefined while nothing is signed. */
  signing(): Signing | undefined;
  /** Signs the end of a sink's chain. The event also names the records of the last heads of the other sinks. */
  sign(sink: string, end: ChainHead, count: number, signing: Signing): NewHead;
  /** The event with a signature where it states the deletion of records. */
  attest(event: LogEvent): LogEvent;
  /**
   * Takes a head whose record was written. It goes to the state file once `synced` resolves, which is called at once and makes the record durable;
   * without it the chain does not outlive the process, and the state file does not hold its head.
   */
  written(sink: string, head: SignedHead, record: ChainHead, synced?: () => Promise<void>): void;
  /** The last head of each sink that has one, in the order of the configuration. */
  last(): readonly SinkHead[];
  /** Reports a chain that ends before its head. With `onTruncation: refuse` the state file then stays as it is. */
  truncated(truncation: Truncation): void;
  /** Reports a chain that could not be held to a head. */
  unheld(chain: Unheld): void;
  /** The reason for which the gateway is not ready. */
  problem(): string | undefined;
  /** Resolves when the state file is written. */
  settled(): Promise<void>;
}

/** Creates it, with nothing to sign. */
export function createHeads({ instance, log, now, observe, record }: HeadsOptions): Heads {
  let signing: Signing | undefined;
  let sinks: readonly string[] = [];
  const last = new Map<string, KnownHead>();
  /** Those whose records are on the disk. One of a sink that is gone stays until the state file has it. */
  const durable = new Map<string, SinkHead>();
  let truncation: string | undefined;
  let stateFails = false;
  /** State of the durable heads that is not in the file yet. */
  let isDue = false;
  let saving: Promise<void> = Promise.resolve();
  const syncing = new Set<Promise<void>>();

  async function save(): Promise<void> {
    const path = signing?.stateFile;
    if (!isDue || path === undefined || isRefused()) return;
    isDue = false;
    const heads = [...durable.values()];
    try {
      await writeHeadState(path, heads);
      for (const head of heads) {
        if (!sinks.includes(head.sink) && durable.get(head.sink) === head) durable.delete(head.sink);
      }
      if (stateFails) log.warn({ path }, 'the state file of audit.sign is written again');
      stateFails = false;
    } catch (error) {
      observe?.stateFailed?.();
      if (stateFails) return;
      stateFails = true;
      log.error({ path, err: error }, 'the state file of audit.sign cannot be written; it holds older heads');
      record({ reason: 'audit_state_unwritable', detail: { stateFile: path, problem: messageOf(error) } });
    }
  }

  const isRefused = () => truncation !== undefined && signing?.onTruncation === 'refuse';

  /** Brings a head to the state file, where there is one. */
  function keep({ head, synced }: KnownHead): void {
    if (synced === undefined || signing?.stateFile === undefined) return;
    const keeping: Promise<void> = saveDurable(head, synced).finally(() => syncing.delete(keeping));
    syncing.add(keeping);
  }

  async function saveDurable(head: SinkHead, synced: () => Promise<void>): Promise<void> {
    try {
      await synced();
    } catch {
      // The sink reports it. The head before stays.
      return;
    }
    durable.set(head.sink, head);
    isDue = true;
    saving = saving.then(save);
    await saving;
  }

  return {
    configure(next, keys) {
      const isAnotherFile = next?.stateFile !== signing?.stateFile;
      signing = next;
      sinks = keys;
      for (const key of last.keys()) if (!keys.includes(key)) last.delete(key);
      if (isAnotherFile) for (const known of last.values()) keep(known);
    },
    signing: () => signing,
    sign(sink, { seq, hash }, count, { key }) {
      const time = now();
      const head = { instance, seq, hash, count, time: new Date(time).toISOString() };
      const signature = signText(key, headText(head));
      const others = [...last.values()].map((known) => known.head).filter((other) => other.sink !== sink);
      const detail = {
        hash,
        seq,
        count,
        key: key.id,
        signature,
        sink,
        others: others.map(({ record, sink: name }) => ({ hash: record.hash, seq: record.seq, sink: name })),
      };
      return { head: { ...head, key: key.id, signature }, event: { stage: 'head', time, detail } };
    },
    attest(event) {
      const deleted = event.detail?.deleted as { firstSeq?: number; lastSeq: number; lastHash: string } | undefined;
      if (signing === undefined || deleted?.firstSeq === undefined) return event;
      const { firstSeq, lastSeq, lastHash } = deleted;
      const time = now();
      const stated = { instance, firstSeq, lastSeq, lastHash, time: new Date(time).toISOString() };
      const signature = signText(signing.key, deletionText(stated));
      return { ...event, time, detail: { ...event.detail, key: signing.key.id, signature } };
    },
    written(sink, head, written, synced) {
      const { seq, hash } = written;
      const known = { head: { sink, ...head, record: { seq, hash } }, synced };
      last.set(sink, known);
      keep(known);
    },
    last: () => sinks.flatMap((sink) => last.get(sink)?.head ?? []),
    truncated({ sink, problem, expected, found }) {
      truncation ??= sink === undefined ? problem : `${sink}: ${problem}`;
      observe?.truncated?.();
      log.error(
        { sink, expected, found, stateFile: signing?.stateFile },
        `audit_truncated: ${problem}; records were cut off, or the disk lost them`,
      );
      record({
        reason: 'audit_truncated',
        detail: { sink, problem, expected, found, stateFile: signing?.stateFile },
      });
    },
    unheld({ sink, problem }) {
      const stateFile = signing?.stateFile;
      log.warn(
        { sink, stateFile },
        `audit_state_missing: ${problem}; this start cannot see whether records were cut off`,
      );
      record({ reason: 'audit_state_missing', detail: { sink, problem, stateFile } });
    },
    problem: () => (isRefused() ? `audit_truncated: ${truncation}` : undefined),
    settled: async () => void (await Promise.all(syncing)),
  };
}
