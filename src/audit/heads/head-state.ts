// State file of signed heads (`audit.sign.stateFile`): the last head of each chain, replaced atomically.
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { fileProblem } from '../../errors.ts';
import { replaceFile } from '../../replace-file.ts';
import type { ChainHead } from '../hash-chain.ts';
import { codeOf, ignoreMissing } from '../sinks/file/errno.ts';
import type { SinkTarget } from '../sinks/sink-type.ts';
import { createHeadCheck } from '../verification/head-check.ts';
import type { HeadKey, SinkHead } from './signed-head.ts';

const seq = z.int().positive();
const digest = z.string().regex(/^[0-9a-f]{64}$/);

const stateSchema = z.object({
  version: z.literal(1),
  heads: z.array(
    z.object({
      sink: z.string(),
      instance: z.string(),
      seq,
      hash: digest,
      count: z.int().nonnegative(),
      time: z.iso.datetime({ precision: 3 }),
      key: z.string(),
      signature: z.string(),
      record: z.object({ seq, hash: digest }),
    }),
  ),
});

/** The content of a state file. */
export type HeadState = z.output<typeof stateSchema>;

/** A difference between the state file and the chain of a sink. */
export interface Truncation {
  /** The key of the sink; undefined where the state file cannot be read. */
  readonly sink: string | undefined;
  readonly problem: string;
  /** Of the record of the last head, by the state file. */
  readonly expected?: ChainHead;
  /** The end of the chain. */
  readonly found?: ChainHead;
}

/** A chain that the state file says nothing of. */
export interface Unheld {
  /** The key of the sink; undefined where there is no state file. */
  readonly sink?: string;
  readonly problem: string;
}

/** The result of the comparison of chains with a state file. */
export interface StateFinding {
  readonly truncations: readonly Truncation[];
  readonly unheld: readonly Unheld[];
}

/** A state file may have heads of other sinks: those of another gateway, and of sinks that are gone from the configuration. */
const maxHeads = 64;

/** Parses a state file. Undefined for anything else. */
export function parseHeadState(text: string): HeadState | undefined {
  try {
    return stateSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Reads a state file; undefined when there is none. Throws an Error with a public message for one that cannot be read. */
async function readHeadState(path: string): Promise<HeadState | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new Error(fileProblem(error), { cause: error });
  }
  const state = parseHeadState(text);
  if (state === undefined) throw new Error('it is no state file of audit.sign');
  return state;
}

/**
 * Replaces a state file: whoever reads it sees the old heads or the new ones, also after a power loss. It keeps the heads of other sinks, the latest
 * of them where there are too many.
 */
export async function writeHeadState(path: string, heads: readonly SinkHead[]): Promise<void> {
  const there = parseHeadState((await readFile(path, 'utf8').catch(ignoreMissing)) ?? '')?.heads ?? [];
  const others = there
    .filter(({ sink }) => !heads.some((head) => head.sink === sink))
    .sort((one, other) => Date.parse(other.time) - Date.parse(one.time))
    .slice(0, Math.max(maxHeads - heads.length, 0));
  const state: HeadState = { version: 1, heads: [...heads, ...others] };
  await replaceFile(path, `${JSON.stringify(state, undefined, 2)}\n`, 0o600);
}

/** A chain that was opened; `end` is undefined where that failed. */
interface OpenedChain {
  readonly sink: string;
  readonly target: SinkTarget;
  readonly end: ChainHead | undefined;
}

/**
 * Holds chains to the heads that a state file has of them. One that does not outlive the process is not held to any. A head that lies in front of the
 * chain is no truncation where a retention record that `key` signed states that deletion.
 */
export async function checkHeadState(
  path: string,
  chains: readonly OpenedChain[],
  key: HeadKey,
): Promise<StateFinding> {
  let state: HeadState | undefined;
  try {
    state = await readHeadState(path);
  } catch (error) {
    const problem = `${path} cannot be read: ${(error as Error).message}`;
    return { truncations: [{ sink: undefined, problem }], unheld: [] };
  }
  if (state === undefined) return { truncations: [], unheld: [{ problem: 'there is no state file' }] };
  const truncations: Truncation[] = [];
  const unheld: Unheld[] = [];
  const { isProved } = createHeadCheck(new Map([[key.id, createPublicKey(key.privateKey)]]));
  for (const { sink, target, end } of chains) {
    if (target.hashAt === undefined || end === undefined) continue;
    const expected = state.heads.find((head) => head.sink === sink)?.record;
    if (expected === undefined) {
      if (end.seq > 0) unheld.push({ sink, problem: 'the state file has no head of this sink, which has records' });
      continue;
    }
    const differs = (problem: string) => truncations.push({ sink, problem, expected, found: end });
    const { seq } = expected;
    if (end.seq < seq) {
      differs(`the chain ends at seq ${end.seq}, before its head at seq ${seq}`);
      continue;
    }
    const hash = await target.hashAt(seq);
    if (hash === expected.hash) continue;
    if (hash !== undefined) differs(`at seq ${seq} stands another record than its head`);
    else if (await target.isDeleted?.(seq, isProved))
      unheld.push({ sink, problem: `the state file is older than the log: retention deleted its head at seq ${seq}` });
    else
      differs(
        `the record of its head at seq ${seq} is in none of its files, and no retention record that this key signed covers it`,
      );
  }
  return { truncations, unheld };
}
