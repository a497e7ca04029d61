// Policy file: a configuration that is loaded and compiled as the gateway does it, and never run.

import { compileRevocations, nothingRevoked, type Revocations } from '../authn/caller/revocations.ts';
import { createProofMemory } from '../authn/token/binding/dpop.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { closeSnapshot } from '../gateway/reload.ts';
import { compileSnapshot, type Snapshot, type SnapshotRuntime } from '../gateway/snapshot.ts';
import { createLog } from '../log.ts';
import { createLocalState } from '../state/local-state.ts';
import { createStandIns, notesOn, type UsedStandIns } from './stand-ins.ts';

/** A compiled configuration: of a file, where nothing listens, is fetched or recorded, or the one in force. A review changes nothing of it. */
export interface PolicyFile {
  readonly loaded: LoadedConfig;
  readonly snapshot: Snapshot;
  readonly revocations: Revocations;
}

/** One that was opened for a review. */
export interface OpenPolicyFile extends PolicyFile {
  close(): Promise<void>;
}

/** Options of `openPolicyFile`. */
export interface PolicyFileOptions extends Pick<LoadOptions, 'env' | 'now' | 'stamps'> {
  /** Certificates, keys and secrets that are not at hand are problems. By default others stand in for them. */
  readonly needsSecrets?: boolean;
  /** API keys themselves are looked at: a keys file that is not at hand is a problem. */
  readonly keysAreReviewed?: boolean;
  /** Those of another file that is compared with this one; default fresh ones. */
  readonly standIns?: UsedStandIns;
  /** Takes a sentence about what was not at hand, for the reader of a result. */
  readonly note?: (sentence: string) => void;
}

/** Loads a configuration file for a review. Throws ConfigError with every problem. */
export async function loadPolicyFile(
  file: string,
  { env, keysAreReviewed = false, needsSecrets = false, note, now = Date.now, stamps, ...options }: PolicyFileOptions,
): Promise<LoadedConfig> {
  const standIns = needsSecrets ? undefined : (options.standIns ?? createStandIns(now, { keysAreReviewed }));
  const before = standIns?.places.length;
  const loaded = await loadConfig(file, { env, now, standIns, ...(stamps !== undefined && { stamps }) });
  if (note !== undefined)
    for (const sentence of notesOn(standIns?.places.slice(before) ?? [])) note(`${file}: ${sentence}`);
  return loaded;
}

/** Opens a configuration file. Throws ConfigError with every problem; another Error where a file that it names cannot be used. */
export async function openPolicyFile(file: string, options: PolicyFileOptions): Promise<OpenPolicyFile> {
  return compilePolicyFile(await loadPolicyFile(file, options), options.now);
}

/** Compiles a loaded configuration. Throws an Error where it cannot be used. */
export function compilePolicyFile(loaded: LoadedConfig, now = Date.now): OpenPolicyFile {
  const snapshot = compileSnapshot(loaded, offline(now), undefined);
  const { list } = loaded.revocations ?? {};
  const revocations = list === undefined ? nothingRevoked : compileRevocations(list.entries);
  return { loaded, snapshot, revocations, close: () => closeSnapshot(snapshot) };
}

function offline(now: () => number): SnapshotRuntime {
  const ignore = (): void => {};
  return {
    proofMemory: createProofMemory(createLocalState({ now })),
    log: createLog({ level: 'silent' }),
    now,
    observe: {
      authenticationAttempted: ignore,
      keySetRefreshFailed: ignore,
      introspected: ignore,
      tokenExchanged: ignore,
    },
    definitionChanged: ignore,
  };
}
