// Policies beside the one in force: opened once for a state of their files, and kept for some minutes.
import { env } from 'node:process';
import { stampOf } from '../../config/files/files.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { compilePolicyFile, type OpenPolicyFile, openPolicyFile } from '../../review/policy-file.ts';

/** The file as it is on the disk now, or the shadow. */
export type Under = 'file' | 'shadow';

/** A policy, with sentences about what was not at hand. */
export interface OtherPolicy {
  readonly policyFile: OpenPolicyFile;
  readonly notes: readonly string[];
}

/** Gives a policy, one after the other. Throws ConfigError with the problems of the file. */
export type OpenOther = (under: Under) => Promise<OtherPolicy>;

interface Kept extends OtherPolicy {
  isCurrent(): Promise<boolean>;
  readonly forgetting: NodeJS.Timeout;
}

const keepMs = 300_000;

/** Creates the function. To open a large policy takes the event loop for seconds, so that views do not repeat it. */
export function createOtherPolicies({ current, now }: Pick<RunningParts, 'current' | 'now'>): OpenOther {
  const kept = new Map<Under, Kept>();

  async function forget(under: Under): Promise<void> {
    const old = kept.get(under);
    if (old === undefined) return;
    kept.delete(under);
    clearTimeout(old.forgetting);
    await old.policyFile.close();
  }

  async function openFile(): Promise<Omit<Kept, 'forgetting'>> {
    const notes: string[] = [];
    const stamps = new Map<string, string>();
    const note = (sentence: string): void => void notes.push(sentence);
    const policyFile = await openPolicyFile(current().loaded.file, { env, now, note, stamps });
    return { policyFile, notes, isCurrent: () => areCurrent(stamps) };
  }

  function openShadow(): Omit<Kept, 'forgetting'> {
    const loaded = current().snapshot.shadow?.loaded;
    if (loaded === undefined) throw new Error('no shadow is configured');
    const isCurrent = async () => current().snapshot.shadow?.loaded === loaded;
    return { policyFile: compilePolicyFile(loaded, now), notes: [], isCurrent };
  }

  return async (under) => {
    const known = kept.get(under);
    if (known !== undefined && (await known.isCurrent())) return known;
    await forget(under);
    const opened = under === 'file' ? await openFile() : openShadow();
    const forgetting = setTimeout(() => void forget(under), keepMs).unref();
    kept.set(under, { ...opened, forgetting });
    return opened;
  };
}

async function areCurrent(stamps: ReadonlyMap<string, string>): Promise<boolean> {
  const found = await Promise.all([...stamps].map(async ([path, stamp]) => (await stampOf(path)) === stamp));
  return found.every(Boolean);
}
