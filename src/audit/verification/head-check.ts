// Verification of the signed heads along one chain, and of signed retention records.

import type { Link } from '../hash-chain.ts';
import { deletionText, headText, type PublicKeys, verifyText } from '../heads/signed-head.ts';

/** The signed part of a chain so far. */
export interface SignedPart {
  /** Heads that hold. Without keys their signatures were not verified. */
  readonly heads: number;
  /** The thumbprints of the keys that signed them. */
  readonly keys: readonly string[];
  readonly last: { readonly seq: number; readonly time: string; readonly key: string } | undefined;
  /** Records behind the last head, which nothing covers. */
  readonly after: number;
}

/** The result of the check of one record. */
export interface HeadFinding {
  readonly problem?: string;
  readonly note?: string;
  /** True for a head that holds. */
  readonly isHead?: boolean;
}

/** Checks the heads of one chain, record by record. */
export interface HeadCheck {
  take(link: Link): HeadFinding;
  /** True where a retention record may cover missing records: it is signed, or there are no keys. */
  isProved(link: Link): boolean;
  signed(): SignedPart;
}

const nothing: HeadFinding = {};

/** Creates a check with the keys that may have signed; without them only the place of each head is checked. */
export function createHeadCheck(keys: PublicKeys | undefined): HeadCheck {
  const signers = new Set<string>();
  let heads = 0;
  let last: SignedPart['last'];
  /** Records since the last head, and those of them that the process of the last record wrote. */
  let pending = 0;
  let pendingOfRun = 0;
  /** The process of the last record. `count` is the number of its records, undefined where its first ones are not here. */
  let run: { readonly instance: string; count: number | undefined } | undefined;

  function follow({ record, seq }: Link): { count: number | undefined } {
    const instance = String(record.instance);
    if (run?.instance === instance) return run;
    run = { instance, count: run === undefined && seq !== 1 ? undefined : 0 };
    pendingOfRun = 0;
    return run;
  }

  function take(link: Link): HeadFinding {
    const current = follow(link);
    const finding = link.record.stage === 'head' ? takeHead(link, current) : retentionProblem(link);
    if (current.count !== undefined) current.count += 1;
    if (finding.isHead === true) return finding;
    pending += 1;
    pendingOfRun += 1;
    return finding;
  }

  function takeHead(link: Link, current: { count: number | undefined }): HeadFinding {
    const { detail, instance, time } = link.record;
    const { seq, hash, count, key, signature } = (detail ?? {}) as Readonly<Record<string, unknown>>;
    if (seq !== link.seq - 1) {
      return { problem: `the head is of another place: it states seq ${seq}, and stands behind seq ${link.seq - 1}` };
    }
    if (hash !== link.prev) {
      return {
        problem: `the head states another hash for seq ${seq}: the records before it were written anew, or it is of another chain`,
      };
    }
    const stated = { instance: String(instance), seq, hash: link.prev, count: Number(count), time: String(time) };
    const problem = signatureProblem(key, signature, headText(stated));
    if (problem !== undefined) return { problem: `the head is forged: ${problem}` };
    if (current.count !== undefined && current.count !== count) {
      const reason = `the process ${instance} wrote ${count} records up to here, and ${current.count} stand in the chain`;
      current.count = Number(count);
      return { problem: `records were put in or taken out before they were signed: ${reason}` };
    }
    current.count = Number(count);
    const others = pending - pendingOfRun;
    heads += 1;
    signers.add(String(key));
    last = { seq, time: String(time), key: String(key) };
    pending = 0;
    pendingOfRun = 0;
    if (others === 0) return { isHead: true };
    const note = `${others} record(s) up to seq ${seq} were first signed by the next process: the one before ended without a last head`;
    return { isHead: true, note };
  }

  function signatureProblem(key: unknown, signature: unknown, text: string): string | undefined {
    if (keys === undefined) return undefined;
    const result = verifyText(keys, String(key), String(signature), text);
    if (result === 'valid') return undefined;
    return result === 'invalid' ? 'its signature is not valid' : `it names the key ${key}, which was not given`;
  }

  /** Of a record that states the deletion of a range: undefined when its signature is valid. */
  function deletionProblem({ record }: Link): string | undefined {
    const { deleted, key, signature } = record.detail as Readonly<Record<string, unknown>>;
    if (signature === undefined) return keys && 'it is not signed';
    const { firstSeq, lastSeq, lastHash } = deleted as { firstSeq: number; lastSeq: number; lastHash: string };
    const { instance, time } = record;
    const stated = { instance: String(instance), firstSeq, lastSeq, lastHash, time: String(time) };
    return signatureProblem(key, signature, deletionText(stated));
  }

  function retentionProblem(link: Link): HeadFinding {
    if (deletedIn(link) === undefined || (link.record.detail as { signature?: unknown }).signature === undefined)
      return nothing;
    const problem = deletionProblem(link);
    return problem === undefined ? nothing : { problem: `the retention record is forged: ${problem}` };
  }

  return {
    take,
    isProved: (link) => deletionProblem(link) === undefined,
    signed: () => ({ heads, keys: [...signers], last, after: pending }),
  };
}

/** True for a retention record that states the deletion of the records in front of this one. */
export function coversBefore(link: Link, { seq, prev }: Pick<Link, 'seq' | 'prev'>): boolean {
  const deleted = deletedIn(link);
  return deleted !== undefined && deleted.lastSeq === seq - 1 && deleted.lastHash === prev;
}

/** The range whose deletion a retention record states; undefined for any other record. */
function deletedIn({ record }: Link): { readonly lastSeq: unknown; readonly lastHash: unknown } | undefined {
  if (record.stage !== 'config' || record.reason !== 'retention') return undefined;
  const deleted = (record.detail as { deleted?: unknown } | null | undefined)?.deleted;
  return typeof deleted === 'object' && deleted !== null ? (deleted as ReturnType<typeof deletedIn>) : undefined;
}
