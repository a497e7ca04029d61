// Verification of audit logs: the hash chains over their files, the signed heads, and the heads that are expected.

import { type Link, parseLink, seqOf } from './hash-chain.ts';
import type { PublicKeys } from './heads/signed-head.ts';
import { maxLineBytes } from './sinks/file/lines.ts';
import {
  type Chain,
  type ChainBreak,
  createChain,
  isGenesis,
  reasonBetween,
  takeRecord,
} from './verification/chain.ts';
import type { ExpectedHead } from './verification/expected-heads.ts';
import { type LogFile, linesOf, openLogFiles, workerOf } from './verification/log-files.ts';
import { type ChainReport, maxProblems, reportOf } from './verification/report.ts';

export type { ChainBreak } from './verification/chain.ts';
export type { ChainPart, ChainReport } from './verification/report.ts';

/** Options of `verifyChain`. */
export interface VerifyOptions {
  /** Keys that may have signed heads. With keys every chain needs a head, and every head a signature by one of them. */
  readonly keys?: PublicKeys;
  /** Records that have to be there. */
  readonly expected?: readonly ExpectedHead[];
}

/** State of a verification. */
interface Verification {
  readonly keys: PublicKeys | undefined;
  readonly expected: Map<number, ExpectedHead[]>;
  readonly chains: Chain[];
  readonly problems: ChainBreak[];
}

/**
 * Verifies files given in any order, of one or several chains; the links tell which file follows which. Every line must be an audit line with the
 * hash of its own text, follow its predecessor's `seq` and state its hash as `prev`. The first of a chain must begin it, or follow records whose
 * deletion a retention record states. A torn last line of the newest file is a note. Lines missing from the end show by heads that are expected, or
 * that other sinks state. Files without a record are not valid: they prove nothing. Throws an Error with a public message when a file cannot be read.
 */
export async function verifyChain(paths: readonly string[], options: VerifyOptions = {}): Promise<ChainReport> {
  const files = await openLogFiles(paths);
  const expected = new Map<number, ExpectedHead[]>();
  for (const head of options.expected ?? []) expected.set(head.seq, [...(expected.get(head.seq) ?? []), head]);
  const state: Verification = { keys: options.keys, expected, chains: [], problems: [] };
  const left = [...files];
  while (left.length > 0) await followChain(state, left);
  for (const chain of state.chains) checkStart(state, chain, files);
  for (const chain of state.chains) checkSignatures(state, chain);
  await checkStatements(state);
  checkExpected(state);
  return reportOf(state, files);
}

/** Follows a chain from the first of the files, and takes its files off the list. */
async function followChain(state: Verification, left: LogFile[]): Promise<void> {
  const chain = createChain(state.keys, left[0]!.worker);
  state.chains.push(chain);
  for (let file = left.shift(); file !== undefined; file = nextOf(chain, file, left)) {
    chain.files.push(file.path);
    const broken = await walkFile(state, chain, file);
    if (broken === undefined) continue;
    state.problems.push(broken);
    // The rest of a broken log belongs to nothing.
    const { log } = file;
    for (let index = left.length - 1; index >= 0; index -= 1) {
      if (left[index]!.log === log) chain.files.push(...left.splice(index, 1).map(({ path }) => path));
    }
    return;
  }
}

/** The file that goes on behind the last record. The chains of two sinks may be the same for a while: a file of the same log comes first. */
function nextOf({ last }: Chain, current: LogFile, left: LogFile[]): LogFile | undefined {
  if (last === undefined) return undefined;
  const fitting = left.filter(({ first }) => first?.seq === last.seq + 1 && first.prev === last.hash);
  const next = fitting.find(({ log }) => log === current.log) ?? fitting[0];
  if (next !== undefined) left.splice(left.indexOf(next), 1);
  return next;
}

async function walkFile(state: Verification, chain: Chain, { path, worker }: LogFile): Promise<ChainBreak | undefined> {
  if (chain.torn !== undefined) return chain.torn;
  const place = { file: path, line: 0 };
  const report = (reason: string) => {
    if (state.problems.length < maxProblems) state.problems.push({ ...place, reason });
  };
  for await (const { bytes, terminated } of linesOf(path)) {
    place.line += 1;
    if (worker !== undefined && (workerOf(bytes) ?? worker) !== worker) continue;
    const link = parseLink(bytes);
    if (!terminated && link === undefined && bytes.length <= maxLineBytes) {
      chain.torn = { ...place, reason: 'not an audit record' };
      chain.notes.push(
        `${path}:${place.line}: the last line is torn (${bytes.length} bytes); the next start repairs it`,
      );
      return undefined;
    }
    const reason = takeRecord(chain, link, place, report);
    if (reason !== undefined) return { ...place, reason };
    meetExpected(state, chain.last!);
  }
  return undefined;
}

function meetExpected({ expected }: Verification, { seq, hash }: Link): void {
  const heads = expected.get(seq);
  if (heads === undefined) return;
  const unmet = heads.filter((head) => head.hash !== hash);
  if (unmet.length === 0) expected.delete(seq);
  else expected.set(seq, unmet);
}

/** Reports a chain whose beginning is missing, or that shares a log with another one. */
function checkStart({ chains, problems }: Verification, chain: Chain, files: readonly LogFile[]): void {
  const { first } = chain;
  if (first === undefined) return;
  const { file, link } = first;
  const isOfAnother = ({ worker = chain.worker }: Chain) => worker !== (chain.worker ?? worker);
  const others = chains.filter((other) => other !== chain && other.first !== undefined && !isOfAnother(other));
  const logOf = (path: string) => files.find((each) => each.path === path)?.log;
  const sameLog = others.find((other) => other.files.some((path) => logOf(path) === logOf(file)));
  if (chain.isUncovered) {
    const before = others.find((other) => other.last!.record.instance === link.record.instance) ?? sameLog;
    problems.push(before?.torn ?? { file, line: 1, reason: missingReason(chain, before) });
    return;
  }
  if (sameLog !== undefined && isGenesis(link) && chains.indexOf(sameLog) < chains.indexOf(chain)) {
    problems.push({ file, line: 1, reason: `${reasonBetween(sameLog.last!, link)}, the last of ${sameLog.lastFile}` });
    return;
  }
  for (const [index, path] of chain.files.entries()) {
    const previous = chain.files[index - 1];
    if (previous === undefined || logOf(path) === logOf(previous)) continue;
    const robbed = others.find((other) => other.files.some((each) => logOf(each) === logOf(path)));
    if (robbed === undefined) continue;
    const reason = `goes on with the chain of ${previous}, and not with that of ${robbed.lastFile}: the files of two logs were exchanged`;
    problems.push({ file: path, line: 1, reason });
  }
}

function missingReason({ first, unproved }: Chain, before: Chain | undefined): string {
  const { link } = first!;
  if (unproved !== undefined) {
    return `begins at seq ${link.seq}: earlier records are missing, and the retention record that covers them, seq ${unproved}, is not signed by a key that was given`;
  }
  if (before !== undefined) {
    const hint =
      link.seq > before.last!.seq + 1 ? '' : '; the files may be of two chains: each sink has one of its own';
    return `${reasonBetween(before.last!, link)}, the last of ${before.lastFile}${hint}`;
  }
  return `begins at seq ${link.seq}: earlier records are missing and no retention record covers them`;
}

function checkSignatures({ keys, problems }: Verification, { first, heads }: Chain): void {
  if (keys === undefined || first === undefined || heads.signed().heads > 0) return;
  problems.push({ file: first.file, line: 1, reason: 'no head of this chain is signed by a key that was given' });
}

/** Holds each chain to the last heads that the chains of other sinks state of it. */
async function checkStatements({ chains, problems }: Verification): Promise<void> {
  for (const chain of chains) {
    for (const { file, line, instance, sink, seq, hash } of chain.stated.values()) {
      const others = chains.filter((each) => each.sinks.has(`${instance} ${sink}`));
      const other = others[0];
      if (other === undefined) {
        chain.notes.push(`${file}:${line}: states a head of ${sink} at seq ${seq}, whose chain is not in these files`);
        continue;
      }
      const found = await Promise.all(others.map((each) => holds(each, seq, hash)));
      if (found.includes(true)) continue;
      const reason = `states a head of ${sink} at seq ${seq}, which ${other.lastFile} does not hold: records were cut off or written anew`;
      problems.push({ file, line, reason });
    }
  }
}

async function holds({ files, last }: Chain, seq: number, hash: string): Promise<boolean> {
  if (seq > (last?.seq ?? 0)) return false;
  for (const file of files) {
    for await (const { bytes } of linesOf(file)) {
      if (seqOf(bytes) === seq && parseLink(bytes)?.hash === hash) return true;
    }
  }
  return false;
}

function checkExpected({ chains, expected, problems }: Verification): void {
  const ends = chains.map(({ last }) => last?.seq ?? 0);
  for (const { seq, hash, from } of [...expected.values()].flat()) {
    const why = ends.every((end) => end < seq)
      ? `the chains end before it, at seq ${ends.join(', ')}: records were cut off`
      : 'other records stand there: the log was written anew, replaced, or is another one';
    problems.push({
      file: from,
      line: 0,
      reason: `the head at seq ${seq} (${hash.slice(0, 12)}…) is in no chain; ${why}`,
    });
  }
}
