// Configuration in force as the supervisor uses it: the files that its workers get, and the bounds of connections.
import type { Server } from 'node:http';
import { readRegularFile } from '../config/files/files.ts';
import { recordReading } from '../config/files/reading.ts';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { prepareAdminListener } from '../gateway/admin/admin.ts';
import { compileHosts, compileProxies } from '../gateway/snapshot.ts';
import type { Given } from './all-or-none.ts';

/** A configuration, read and compiled as far as the supervisor needs it. */
export interface InForce extends Given {
  readonly loaded: LoadedConfig;
  readonly isProxy: (address: string) => boolean;
  readonly isServedHost: (host: string) => boolean;
  /** Changes the admin listener to it. */
  readonly updateAdmin: (server: Server) => void;
}

/** Reads all files once, for this process and for the workers. */
export async function readConfiguration(
  { configFile, env }: { readonly configFile: string; readonly env: NodeJS.ProcessEnv },
  stamps: Map<string, string>,
  previous: LoadedConfig | undefined,
): Promise<InForce> {
  const { readFile, reading } = recordReading(readRegularFile);
  const inUse = previous && {
    revocationsInForce: previous.revocations?.path,
    shadowInForce: previous.shadow?.file,
  };
  const loaded = await loadConfig(configFile, { env, stamps, readFile, ...inUse });
  return {
    loaded,
    hash: loaded.hash,
    reading,
    isProxy: compileProxies(loaded.config),
    isServedHost: compileHosts(loaded.config).isServed,
    updateAdmin: prepareAdminListener(loaded),
  };
}
