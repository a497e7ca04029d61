// Report of a verification of audit logs, and the statement of a proof.
import type { PublicKeys } from '../heads/signed-head.ts';
import type { Chain, ChainBreak } from './chain.ts';
import type { SignedPart } from './head-check.ts';
import type { LogFile } from './log-files.ts';

/** The records of one chain that hold together. */
export interface ChainPart {
  /** In the order of the chain. */
  readonly files: readonly string[];
  readonly records: number;
  readonly firstSeq: number | undefined;
  readonly lastSeq: number | undefined;
  /** Of the last good record. */
  readonly lastHash: string | undefined;
  /** The times of the first and the last record. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly signed: SignedPart;
}

/** The result of a verification. `firstSeq`, `lastSeq` and `lastHash` are undefined with several chains. */
export interface ChainReport extends ChainPart {
  readonly valid: boolean;
  /** Keys were given: each head has to be signed by one of them. */
  readonly isSignatureChecked: boolean;
  readonly chains: readonly ChainPart[];
  /** The processes that wrote the records, by their `instance`. */
  readonly instances: number;
  /** Nothing is missing, and who signed it; undefined where that is not proved. */
  readonly statement: string | undefined;
  /** In the order in which they were found. */
  readonly problems: readonly ChainBreak[];
  /** The first of them. */
  readonly break: ChainBreak | undefined;
  readonly notes: readonly string[];
}

/** More are not kept of one file. */
export const maxProblems = 100;

/** A verification that is over. */
interface Verified {
  readonly keys: PublicKeys | undefined;
  readonly chains: readonly Chain[];
  readonly problems: readonly ChainBreak[];
}

/** Sums a verification up. */
export function reportOf({ chains, keys, problems }: Verified, files: readonly LogFile[]): ChainReport {
  const parts = chains.map(partOf);
  const records = parts.reduce((sum, part) => sum + part.records, 0);
  const only = parts.length === 1 ? parts[0] : undefined;
  const valid = problems.length === 0 && records > 0;
  const instances = new Set(chains.flatMap((chain) => [...chain.instances])).size;
  const times = parts.flatMap(({ from, to }) => [from, to]).filter((time) => time !== undefined);
  const summary = {
    files: only?.files ?? files.map(({ path }) => path),
    records,
    firstSeq: only?.firstSeq,
    lastSeq: only?.lastSeq,
    lastHash: only?.lastHash,
    from: times.toSorted()[0],
    to: times.toSorted().at(-1),
    signed: sumOf(parts),
  };
  return {
    valid,
    isSignatureChecked: keys !== undefined,
    ...summary,
    chains: parts,
    instances,
    statement: valid && keys !== undefined ? statementOf(summary, instances) : undefined,
    problems: problems,
    break: problems[0],
    notes: chains.flatMap(({ notes }) => notes),
  };
}

function statementOf({ from, to, signed, records }: ChainPart, instances: number): string {
  const unsigned =
    signed.after === 0 ? '' : `; ${signed.after} of ${records} records stand after the last signed heads`;
  return `every request of ${instances} instance(s) from ${from} to ${to}, nothing missing, signed by ${signed.keys.join(', ')}${unsigned}`;
}

function partOf({ files, first, heads, last, records }: Chain): ChainPart {
  return {
    files,
    records,
    firstSeq: first?.link.seq,
    lastSeq: last?.seq,
    lastHash: last?.hash,
    from: first && String(first.link.record.time),
    to: last && String(last.record.time),
    signed: heads.signed(),
  };
}

function sumOf(parts: readonly ChainPart[]): SignedPart {
  const signed = parts.map((part) => part.signed);
  const lasts = signed.flatMap(({ last }) => last ?? []).sort((one, other) => (one.time < other.time ? -1 : 1));
  return {
    heads: signed.reduce((sum, { heads }) => sum + heads, 0),
    keys: [...new Set(signed.flatMap(({ keys }) => keys))],
    last: lasts.at(-1),
    after: signed.reduce((sum, { after }) => sum + after, 0),
  };
}
