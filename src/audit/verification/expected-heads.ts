// Expected heads (`audit verify --expect`): records that the chains have to hold.
import { readFile } from 'node:fs/promises';
import { fileProblem } from '../../errors.ts';
import { parseLink } from '../hash-chain.ts';
import { parseHeadState } from '../heads/head-state.ts';
import { headText, type PublicKeys, verifyText } from '../heads/signed-head.ts';

/** A record that has to be there. */
export interface ExpectedHead {
  readonly seq: number;
  readonly hash: string;
  /** Where it was said. */
  readonly from: string;
}

/**
 * Reads `SEQ:HASH`, a state file of `audit.sign`, or a file with one head record as a sink shipped it. With keys the heads of a state file must be
 * signed by one of them. Throws an Error with a public message for anything else.
 */
export async function readExpectedHeads(text: string, keys: PublicKeys | undefined): Promise<ExpectedHead[]> {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== undefined && hash !== undefined) return [{ seq: Number(seq), hash, from: '--expect' }];
  let content: string;
  try {
    content = await readFile(text, 'utf8');
  } catch (cause) {
    throw new Error(`${text}: ${fileProblem(cause)}; a head is written SEQ:HASH`, { cause });
  }
  const state = parseHeadState(content);
  if (state === undefined) return [recordHead(text, content)];
  for (const { sink, key, signature, ...head } of state.heads) {
    if (keys !== undefined && verifyText(keys, key, signature, headText(head)) !== 'valid')
      throw new Error(`${text}: its head of ${sink} is not signed by a key that was given`);
  }
  return state.heads.flatMap(({ seq, hash, record, sink }) =>
    [{ seq, hash }, record].map((each) => ({ ...each, from: `${text} (${sink})` })),
  );
}

function recordHead(file: string, content: string): ExpectedHead {
  const link = parseLink(Buffer.from(content.trimEnd()));
  if (link?.intact !== true) throw new Error(`${file}: neither a state file of audit.sign nor one audit record`);
  return { seq: link.seq, hash: link.hash, from: file };
}
