// Revocations in force: a file that is polled several times a second, which only a valid list replaces, and temporary ones of an operator.
import type { RevocationEntries, Revocations } from '../authn/caller/revocations.ts';
import {
  compileRevocations,
  countEntries,
  mergeEntries,
  noEntries,
  nothingRevoked,
} from '../authn/caller/revocations.ts';
import { entriesOf, inForceAt, type TemporaryRevocation } from '../authn/caller/temporary-revocations.ts';
import { stampOf } from '../config/files/files.ts';
import {
  digestOf,
  type LoadedRevocations,
  parseRevocationFile,
  type RevokedEntries,
  readRevocationFile,
} from '../config/files/revocation-file.ts';
import type { Log } from '../log.ts';

/** Default interval of polls: a change is in force within a second. */
export const revocationPollMs = 200;
/** A file is complete when it has not changed for this time. */
const settleMs = 500;
/** A file that keeps changing is taken after this time. */
const maxUnsettledMs = 5000;

/** A list to follow. The watcher takes stamps of its own. */
export type FollowedRevocations = Omit<LoadedRevocations, 'stamp'>;

/** The list in force, for `/status`. */
export interface RevocationState {
  readonly entries: number;
  /** SHA-256 of the file of the list. */
  readonly digest: string | undefined;
  /** The problem of the current file, in which case the list is an older one. */
  readonly problem: string | undefined;
}

/** The revocations in force. */
export interface RevocationWatcher {
  /** Another object after each change. */
  readonly current: () => Revocations;
  /** Undefined where the configuration names no list. */
  state(): RevocationState | undefined;
  /** The entries of the file in force. */
  readonly entries: () => RevocationEntries;
  /** Path of the file. */
  readonly path: () => string | undefined;
  /** Changes to the list of another configuration; no effect where it names the same file. */
  follow(loaded: FollowedRevocations | undefined): void;
  /** The temporary revocations, which belong to no file and to no configuration. */
  readonly temporary: () => readonly TemporaryRevocation[];
  /** Replaces them. Each ends at the first poll after its end. */
  setTemporary(next: readonly TemporaryRevocation[]): void;
  /** Checks the file once. Polls never overlap. */
  poll(): Promise<void>;
  close(): void;
}

/** Options of the watcher. */
export interface RevocationWatcherOptions {
  readonly log: Log;
  /** Writes a `config` record. */
  record(detail: Readonly<Record<string, unknown>>): void;
  readonly observe: {
    revocationsTaken(entries: number): void;
    revocationsRefused(): void;
    temporaryRevocations(count: number): void;
  };
  /** Milliseconds between two polls; with 0 only `poll` checks the file. */
  readonly intervalMs?: number | undefined;
  /** Milliseconds of a monotonic clock. */
  readonly monotonic?: () => number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Reads the stamp of the file; by default from the file system. */
  readonly stampOf?: (path: string) => Promise<string>;
}

/**
 * Creates the watcher. An entry that a changed file adds is in force at the next poll, also while the file is written. A removed entry stays in force
 * until the file is complete, so that a half-written list restores nothing. A complete file that is invalid or missing changes nothing: the last
 * valid list stays in force, and the log, a `config` record and a metric say so.
 */
export function createRevocationWatcher(
  first: FollowedRevocations | undefined,
  options: RevocationWatcherOptions,
): RevocationWatcher {
  const now = options.monotonic ?? performance.now.bind(performance);
  const clock = options.now ?? Date.now;
  const readStamp = options.stampOf ?? stampOf;
  let path: string | undefined;
  let taken: RevokedEntries | undefined;
  let inForce: RevocationEntries = noEntries;
  let temporary: readonly TemporaryRevocation[] = [];
  let compiled: Revocations = nothingRevoked;
  let problem: string | undefined;
  let stamp: string | undefined;
  let changedAt: number | undefined;
  let unsettledSince: number | undefined;
  let running: Promise<void> | undefined;
  let pollingSince = 0;
  let closed = false;

  function enforce(entries: RevocationEntries): void {
    inForce = entries;
    compile();
    options.observe.revocationsTaken(countEntries(entries));
  }

  function compile(): void {
    compiled = compileRevocations(temporary.length === 0 ? inForce : mergeEntries(inForce, entriesOf(temporary)));
  }

  function setTemporary(next: readonly TemporaryRevocation[]): void {
    temporary = next;
    compile();
    options.observe.temporaryRevocations(next.length);
  }

  function endTemporary(): void {
    const time = clock();
    const left = inForceAt(temporary, time);
    if (left === temporary) return;
    for (const { by: _, ...ended } of temporary.filter((each) => !left.includes(each)))
      options.log.info(ended, 'a temporary revocation has ended');
    setTemporary(left);
  }

  function follow(loaded: FollowedRevocations | undefined): void {
    if (loaded !== undefined && loaded.path === path) return;
    path = loaded?.path;
    taken = loaded?.list;
    problem = stamp = changedAt = unsettledSince = undefined;
    if (taken !== undefined) enforce(taken.entries);
    else if (loaded === undefined) enforce(noEntries);
  }

  async function check(): Promise<void> {
    const checked = path;
    if (checked === undefined) return;
    const found = await readStamp(checked);
    if (closed || checked !== path) return;
    const time = now();
    if (found !== stamp) {
      stamp = found;
      changedAt = time;
      unsettledSince ??= time;
    } else if (changedAt === undefined) return;
    const settled = time - changedAt! >= settleMs || time - unsettledSince! >= maxUnsettledMs;
    if (!settled && changedAt !== time) return;
    if (settled) changedAt = unsettledSince = undefined;
    const list = await readList(checked, taken);
    if (closed || checked !== path) return;
    if (typeof list !== 'string') take(list, settled);
    else if (settled) refuse(list);
  }

  function take(list: RevokedEntries, settled: boolean): void {
    const isNew = list.digest !== taken?.digest;
    const recovered = problem !== undefined;
    const complete = settled ? list.entries : inForce;
    const next = isNew && !settled ? mergeEntries(inForce, list.entries) : complete;
    if (next !== inForce || recovered) enforce(next);
    taken = list;
    problem = undefined;
    if (!isNew && !recovered) return;
    const { digest } = list;
    const entries = countEntries(list.entries);
    options.log.info({ entries, digest }, 'revocation list taken');
    options.record({ event: 'revocation list taken', entries, digest });
  }

  function refuse(reason: string): void {
    problem = reason;
    options.observe.revocationsRefused();
    options.log.error(`revocation list not taken, the last good one stays in force: ${reason}`);
    options.record({ event: 'revocation list refused', problem: reason });
  }

  /** Refuses the list while the file system hangs; once it answers, the file counts as changed. */
  function reportHang(): void {
    if (problem !== undefined || now() - pollingSince < maxUnsettledMs) return;
    stamp = undefined;
    refuse('the file system does not answer');
  }

  function poll(): Promise<void> {
    endTemporary();
    if (running !== undefined) reportHang();
    else {
      pollingSince = now();
      running = check().finally(() => {
        running = undefined;
      });
    }
    return running!;
  }

  follow(first);
  const intervalMs = options.intervalMs ?? revocationPollMs;
  const timer = intervalMs > 0 ? setInterval(poll, intervalMs).unref() : undefined;
  return {
    current: () => compiled,
    entries: () => inForce,
    path: () => path,
    state: () => (path === undefined ? undefined : { entries: countEntries(inForce), digest: taken?.digest, problem }),
    temporary: () => temporary,
    setTemporary,
    follow,
    poll,
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}

/** The list in a file, `known` itself for the same content, or the reason for which it cannot be used. */
async function readList(path: string, known: RevokedEntries | undefined): Promise<RevokedEntries | string> {
  try {
    const content = await readRevocationFile(path);
    return digestOf(content) === known?.digest ? known : parseRevocationFile(path, content).list;
  } catch (error) {
    return (error as Error).message;
  }
}
