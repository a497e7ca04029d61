// One hash chain over its files, followed record by record.
import { genesis, type Link } from '../hash-chain.ts';
import type { PublicKeys } from '../heads/signed-head.ts';
import { coversBefore, createHeadCheck, type HeadCheck } from './head-check.ts';

/** A place in the files, and what is wrong there. */
export interface ChainBreak {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly reason: string;
}

/** The head of another sink, as a head of this chain states it. */
export interface StatedHead extends Omit<ChainBreak, 'reason'> {
  readonly instance: string;
  readonly sink: string;
  readonly seq: number;
  readonly hash: string;
}

/** A chain so far. */
export interface Chain {
  readonly files: string[];
  /** The worker that wrote it, where the files hold chains of several. */
  readonly worker: string | undefined;
  readonly notes: string[];
  /** The processes that wrote it. */
  readonly instances: Set<string>;
  /** The sinks that its heads name, each behind the process. */
  readonly sinks: Set<string>;
  /** The latest heads of other sinks, by sink. */
  readonly stated: Map<string, StatedHead>;
  readonly heads: HeadCheck;
  records: number;
  first: { readonly link: Link; readonly file: string } | undefined;
  last: Link | undefined;
  /** The file of the last record. */
  lastFile: string | undefined;
  /** The first record does not begin the chain, and no retention record covers the ones before it. */
  isUncovered: boolean;
  /** `seq` of a retention record that would cover them and is not signed. */
  unproved: number | undefined;
  /** A torn last line. */
  torn: ChainBreak | undefined;
}

/** Creates a chain without records. */
export function createChain(keys: PublicKeys | undefined, worker?: string): Chain {
  return {
    files: [],
    worker,
    notes: [],
    instances: new Set(),
    sinks: new Set(),
    stated: new Map(),
    heads: createHeadCheck(keys),
    records: 0,
    first: undefined,
    last: undefined,
    lastFile: undefined,
    isUncovered: false,
    unproved: undefined,
    torn: undefined,
  };
}

/**
 * Adds a record. Yields the reason for which it does not belong to the chain, which then ends before it. `report` takes what is wrong with a record
 * that does.
 */
export function takeRecord(
  chain: Chain,
  link: Link | undefined,
  place: Omit<ChainBreak, 'reason'>,
  report: (reason: string) => void,
): string | undefined {
  if (link === undefined) return 'not an audit record';
  if (!link.intact) return 'the record was altered: its hash is not that of its text';
  const broken = chain.last && reasonBetween(chain.last, link);
  if (broken !== undefined) return broken;
  if (chain.first === undefined) {
    chain.first = { link, file: place.file };
    chain.isUncovered = !isGenesis(link);
  }
  const { problem, note, isHead } = chain.heads.take(link);
  if (problem !== undefined) report(problem);
  if (note !== undefined) chain.notes.push(note);
  if (isHead === true) takeStatements(chain, link, place);
  takeRetention(chain, link);
  chain.instances.add(String(link.record.instance));
  chain.records += 1;
  chain.last = link;
  chain.lastFile = place.file;
  return undefined;
}

/** True for the record that begins a chain. */
export function isGenesis({ seq, prev }: Link): boolean {
  return seq === 1 && prev === genesis.hash;
}

/** The reason for which a record does not follow another one; undefined when it does. */
export function reasonBetween(last: Link, next: Link): string | undefined {
  const { seq, prev } = next;
  if (isGenesis(next)) return `the chain starts again: seq 1 after seq ${last.seq}`;
  if (seq > last.seq + 1) return `records are missing: seq ${seq} after seq ${last.seq}`;
  if (seq <= last.seq) return `records are repeated or out of order: seq ${seq} after seq ${last.seq}`;
  return prev === last.hash ? undefined : 'prev is not the hash of the record before';
}

function takeRetention(chain: Chain, link: Link): void {
  const first = chain.first?.link;
  if (!chain.isUncovered || first === undefined || !coversBefore(link, first)) return;
  if (!chain.heads.isProved(link)) {
    chain.unproved = link.seq;
    return;
  }
  chain.isUncovered = false;
  chain.notes.push(`records up to seq ${first.seq - 1} were deleted by retention, as seq ${link.seq} states`);
}

function takeStatements(chain: Chain, link: Link, place: Omit<ChainBreak, 'reason'>): void {
  const instance = String(link.record.instance);
  const { sink, others } = link.record.detail as { sink?: unknown; others?: unknown };
  chain.sinks.add(`${instance} ${sink}`);
  if (!Array.isArray(others)) return;
  for (const other of others) {
    const { sink: name, seq, hash } = Object(other) as Readonly<Record<string, unknown>>;
    if (typeof name !== 'string' || typeof seq !== 'number' || typeof hash !== 'string') continue;
    chain.stated.set(name, { ...place, instance, sink: name, seq, hash });
  }
}
