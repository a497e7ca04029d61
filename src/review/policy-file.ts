// Policy file: a configuration that is loaded and compiled as the gateway does it, and never run.

import { compileRevocations, nothingRevoked, type Revocations } from '../authn/caller/revocations.ts';
import { createProofMemory } from '../authn/token/binding/dpop.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { closeSnapshot } from '../gateway/reload.ts';
import { compileSnapshot, type Snapshot, type SnapshotRuntime } from '../gateway/snapshot.ts';
import { createLog } from '../log.ts';

/** A compiled configuration. Nothing listens, nothing is fetched, nothing is recorded. */
export interface PolicyFile {
  readonly loaded: LoadedConfig;
  readonly snapshot: Snapshot;
  readonly revocations: Revocations;
  close(): Promise<void>;
}

/** Opens a configuration file. Throws ConfigError with every problem; another Error where a file that it names cannot be used. */
export async function openPolicyFile(
  file: string,
  { env, now = Date.now }: Pick<LoadOptions, 'env' | 'now'>,
): Promise<PolicyFile> {
  const loaded = await loadConfig(file, { env, now });
  const snapshot = compileSnapshot(loaded, offline(now), undefined);
  const { list } = loaded.revocations ?? {};
  const revocations = list === undefined ? nothingRevoked : compileRevocations(list.entries);
  return { loaded, snapshot, revocations, close: () => closeSnapshot(snapshot) };
}

function offline(now: () => number): SnapshotRuntime {
  const ignore = (): void => {};
  return {
    proofMemory: createProofMemory(),
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
