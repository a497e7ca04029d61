// Revocation list in force, followed from its file: polled several times a second, and replaced only by a valid list.
import type { RevocationEntries, Revocations } from '../authn/revocations.ts';
import { compileRevocations, countEntries, mergeEntries, noEntries, nothingRevoked } from '../authn/revocations.ts';
import { stampOf } from '../config/files.ts';
import {
  digestOf,
  type LoadedRevocations,
  parseRevocationFile,
  type RevocationList,
  readRevocationFile,
} from '../config/revocation-file.ts';
import type { Log } from '../log.ts';

/** With the time it takes to read a list, a change is in force within a second. */
export const revocationPollMs = 200;
/** A file that has not changed for so long is complete. */
const settleMs = 500;
/** A file that changes for longer than this is taken as it is. */
const maxUnsettledMs = 5000;

/** The list in force, for `/status`. */
export interface RevocationState {
  readonly entries: number;
  /** SHA-256 of the file that the list is from. */
  readonly digest: string | undefined;
  /** The problem of the current file; the list is then an older one. */
  readonly problem: string | undefined;
}

/** The revocations in force. */
export interface RevocationWatcher {
  /** Another object after each change. */
  readonly current: () => Revocations;
  /** Undefined where the configuration names no list. */
  state(): RevocationState | undefined;
  /** The file that is followed. */
  readonly path: () => string | undefined;
  /** Goes on with the list of another configuration; nothing happens where it names the same file. */
  follow(loaded: LoadedRevocations | undefined): void;
  /** Looks once. Polls never overlap. */
  poll(): Promise<void>;
  close(): void;
}

/** Options of the watcher. */
export interface RevocationWatcherOptions {
  readonly log: Log;
  /** Writes a `config` record. */
  record(detail: Readonly<Record<string, unknown>>): void;
  readonly observe: { revocationsTaken(entries: number): void; revocationsRefused(): void };
  /** Milliseconds between two looks; 0: only when `poll` is called. */
  readonly intervalMs?: number | undefined;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic?: () => number;
  /** Replaces the look at the file. */
  readonly stampOf?: (path: string) => Promise<string>;
}

/**
 * An entry that a changed file adds counts at the next look, even while the file is being written. An entry that it no longer has counts until the
 * file has been still for a while, so that a half-written list restores nothing. A file that is bad or missing by then changes nothing: the last
 * good list stays in force, and the log, a `config` record and a metric say so.
 */
export function createRevocationWatcher(
  first: LoadedRevocations | undefined,
  options: RevocationWatcherOptions,
): RevocationWatcher {
  const now = options.monotonic ?? performance.now.bind(performance);
  const lookAt = options.stampOf ?? stampOf;
  let path: string | undefined;
  let taken: RevocationList | undefined;
  let inForce: RevocationEntries = noEntries;
  let compiled: Revocations = nothingRevoked;
  let problem: string | undefined;
  let stamp: string | undefined;
  let changedAt: number | undefined;
  let unsettledSince: number | undefined;
  let running: Promise<void> | undefined;
  let lookingSince = 0;
  let closed = false;

  function enforce(entries: RevocationEntries): void {
    inForce = entries;
    compiled = compileRevocations(entries);
    options.observe.revocationsTaken(countEntries(entries));
  }

  function follow(loaded: LoadedRevocations | undefined): void {
    if (loaded !== undefined && loaded.path === path) return;
    path = loaded?.path;
    taken = loaded?.list;
    problem = stamp = changedAt = unsettledSince = undefined;
    if (taken !== undefined) enforce(taken.entries);
    else if (loaded === undefined) enforce(noEntries);
  }

  async function look(): Promise<void> {
    const looked = path;
    if (looked === undefined) return;
    const found = await lookAt(looked);
    if (closed || looked !== path) return;
    const time = now();
    if (found !== stamp) {
      stamp = found;
      changedAt = time;
      unsettledSince ??= time;
    } else if (changedAt === undefined) return;
    const settled = time - changedAt! >= settleMs || time - unsettledSince! >= maxUnsettledMs;
    if (!settled && changedAt !== time) return;
    if (settled) changedAt = unsettledSince = undefined;
    const list = await readList(looked, taken);
    if (closed || looked !== path) return;
    if (typeof list !== 'string') take(list, settled);
    else if (settled) refuse(list);
  }

  function take(list: RevocationList, settled: boolean): void {
    const isNew = list.digest !== taken?.digest;
    const recovered = problem !== undefined;
    const whole = settled ? list.entries : inForce;
    const next = isNew && !settled ? mergeEntries(inForce, list.entries) : whole;
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

  /** A file system that hangs keeps the look at it from ending; when it answers again, the file counts as changed. */
  function reportHang(): void {
    if (problem !== undefined || now() - lookingSince < maxUnsettledMs) return;
    stamp = undefined;
    refuse('the file system does not answer');
  }

  function poll(): Promise<void> {
    if (running !== undefined) reportHang();
    else {
      lookingSince = now();
      running = look().finally(() => {
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
    path: () => path,
    state: () => (path === undefined ? undefined : { entries: countEntries(inForce), digest: taken?.digest, problem }),
    follow,
    poll,
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}

/** The list in a file, `known` itself where nothing has changed in it, or why it cannot be used. */
async function readList(path: string, known: RevocationList | undefined): Promise<RevocationList | string> {
  try {
    const content = await readRevocationFile(path);
    return digestOf(content) === known?.digest ? known : parseRevocationFile(path, content).list;
  } catch (error) {
    return (error as Error).message;
  }
}
