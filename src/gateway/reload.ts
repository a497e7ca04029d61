// Start and reload of a configuration: it is prepared beside the one in force, then committed or disposed of.
import type { Server } from 'node:http';
import { headKeyOf } from '../audit/heads/signed-head.ts';
import type { PreparedSinks, ReconfigurableAuditLog } from '../audit/reconfigurable-audit-log.ts';
import { closeAuthenticators, startAuthenticators } from '../authn/registry.ts';
import { apiKeyExpiries, certificateExpiries, type Expiry, revocationListExpiries } from '../config/expiries.ts';
import type { LoadedConfig, LoadOptions } from '../config/load.ts';
import { messageOf } from '../errors.ts';
import { prepareListener } from '../http/connection/listener.ts';
import type { Log } from '../log.ts';
import { parsePrivateKey } from '../pem.ts';
import type { PreparedState, SwitchedState } from '../state/switched-state.ts';
import { prepareAdminListener } from './admin/admin.ts';
import type { DefinitionChecks } from './catalog/definition-checks.ts';
import { refuseRestartOnly } from './restart-only.ts';
import type { RevocationWatcher } from './revocation-watcher.ts';
import { compileSnapshot, type Snapshot, type SnapshotRuntime } from './snapshot.ts';
import { type TracingRuntime, tracingOf } from './tracing.ts';
import type { UpstreamProbes } from './upstreams/upstream-probes.ts';
import { closeUpstreams } from './upstreams/upstream-set.ts';

/** One configuration and what is made of it. */
export interface Configuration {
  readonly loaded: LoadedConfig;
  readonly snapshot: Snapshot;
  /** The ends of its certificates, keys and revocation lists. */
  readonly expiries: Readonly<Record<'certificates' | 'revocationLists' | 'apiKeys', readonly Expiry[]>>;
}

/** The servers of both applications. */
export interface Listeners {
  readonly public: Server;
  readonly admin: Server;
}

/** A configuration that nothing uses yet. It has fetched nothing, and no record went to its sinks. */
export interface PreparedConfiguration extends Configuration {
  /** Puts it into force, on the listeners and by `install`, and closes what the one before had and this one has not. Cannot fail. */
  commit(listeners: Listeners, install: (next: Configuration) => void): void;
  /** Closes what was opened for it; once it is committed, nothing. */
  dispose(): Promise<void>;
}

/** Process-wide parts that a new configuration is installed in. */
export interface ConfigurationRuntime extends TracingRuntime {
  readonly log: Log;
  readonly audit: ReconfigurableAuditLog;
  readonly revocations: RevocationWatcher;
  readonly probes: UpstreamProbes;
  readonly definitions: DefinitionChecks;
  readonly state: SwitchedState;
  readonly snapshots: SnapshotRuntime;
}

/**
 * Makes everything that the configuration needs, without touching what is in force; what is unchanged in `previous` is carried over. Throws an Error
 * that names the key or file, or when `signal` is aborted; then nothing is left open.
 */
export async function prepareConfiguration(
  loaded: LoadedConfig,
  previous: Configuration | undefined,
  runtime: ConfigurationRuntime,
  signal?: AbortSignal,
): Promise<PreparedConfiguration> {
  const ticketKeys = runtime.snapshots.sharedKeys?.tickets(loaded.hash);
  const updateListener = prepareListener(loaded.config.server, loaded.files, ticketKeys);
  const updateAdmin = prepareAdminListener(loaded);
  const expiries = {
    certificates: certificateExpiries(loaded),
    revocationLists: revocationListExpiries(loaded),
    apiKeys: apiKeyExpiries(loaded),
  };
  const tracing = await tracingOf(loaded, runtime, previous?.snapshot.tracing);
  const snapshot = compileSnapshot(loaded, runtime.snapshots, previous?.snapshot, tracing);
  const connecting = runtime.state.prepare(loaded.config.state, loaded.files);
  let state: PreparedState;
  let sinks: PreparedSinks;
  try {
    state = await unlessAborted(connecting, signal);
    const { audit } = loaded.config;
    const headKey = audit.sign && headKeyOf(loaded.files.parse(audit.sign.keyFile, parsePrivateKey));
    sinks = await runtime.audit.prepare(audit, signal, headKey, loaded);
  } catch (error) {
    connecting.then(
      (late) => late.dispose(),
      () => {},
    );
    await closeSnapshot(snapshot, previous?.snapshot);
    throw error;
  }
  let committed = false;
  return {
    loaded,
    snapshot,
    expiries,
    commit(listeners, install) {
      // First, since Node builds the contexts once more.
      updateListener(listeners.public);
      updateAdmin(listeners.admin);
      committed = true;
      sinks.commit();
      state.commit();
      install({ loaded, snapshot, expiries });
      runtime.revocations.follow(loaded.revocations);
      startAuthenticators(snapshot.authenticators);
      runtime.probes.follow(snapshot);
      runtime.definitions.follow(snapshot);
      if (previous === undefined) return;
      // Not waited for: an open stream may keep an old connection for hours.
      closeSnapshot(previous.snapshot, snapshot).catch((cause: unknown) =>
        runtime.log.warn({ err: cause }, 'an old upstream connection did not close'),
      );
    },
    async dispose() {
      if (committed) return;
      await closeSnapshot(snapshot, previous?.snapshot);
      await sinks.dispose();
      await state.dispose();
    },
  };
}

/** Closes what `kept` does not go on with, connections once their requests have ended. */
export async function closeSnapshot(snapshot: Snapshot, kept?: Snapshot): Promise<void> {
  closeAuthenticators(snapshot.authenticators, kept?.authenticators);
  if (snapshot.shadow !== undefined) closeAuthenticators(snapshot.shadow.authenticators, snapshot.authenticators);
  await closeUpstreams(snapshot.upstreams, kept?.upstreams);
  if (kept === undefined) await snapshot.tracing?.close();
}

/** State in force that a reload depends on. */
export type ReloadOptions = Pick<LoadOptions, 'revocationsInForce' | 'shadowInForce'>;

/** Loads the configuration anew. */
export type Load = (options: ReloadOptions) => Promise<LoadedConfig>;

/** Options of `createReloader`. */
export interface ReloaderOptions extends ConfigurationRuntime {
  readonly listeners: Listeners;
  /** Takes the configuration that comes into force. */
  readonly install: (next: Configuration) => void;
  readonly current: () => Configuration;
  /** Ends the running reload, and refuses later ones. */
  readonly signal: AbortSignal;
  readonly observe: { configurationRefused(problem: string): void };
  /** Writes a `config` record; a sink that fails owes it. */
  readonly record: (detail: Readonly<Record<string, unknown>>) => Promise<void>;
}

/** Runs reloads one after the other. */
export interface Reloader {
  /** Replaces the configuration in force by what `load` yields. Reloads come one after the other; none of them rejects. */
  reload(load: Load): Promise<void>;
  /** The first half of a reload, for who decides on the second one: exactly one of the two follows, then the next reload. Throws what `refuse` tells. */
  prepare(load: Load): Promise<PreparedReload>;
  /** Counts a reload that was refused, and tells of it in the log and in a record, unless another process does. */
  refuse(problem: string, isTold?: boolean): Promise<void>;
  /** Resolves when no reload is running, and what was prepared is disposed of. */
  settled(): Promise<void>;
}

/** A configuration that a reload has prepared. */
export interface PreparedReload {
  readonly hash: string;
  /** Puts it into force and resolves when that is recorded. */
  commit(): Promise<void>;
  dispose(): Promise<void>;
}

/** Creates a reloader for the listener. */
export function createReloader(options: ReloaderOptions): Reloader {
  const { current, install, listeners, log, observe, record, revocations, signal } = options;
  let last: Promise<void> = Promise.resolve();
  let pending: PreparedReload | undefined;

  async function prepare(load: Load): Promise<PreparedReload> {
    const previous = current();
    const inForce = { revocationsInForce: revocations.path(), shadowInForce: previous.snapshot.shadow?.loaded.file };
    const loaded = await unlessAborted(load(inForce), signal);
    refuseRestartOnly(previous.loaded, loaded);
    const prepared = await prepareConfiguration(loaded, previous, options, signal);
    pending = {
      hash: loaded.hash,
      async commit() {
        pending = undefined;
        if (signal.aborted) return prepared.dispose();
        prepared.commit(listeners, install);
        await tellReloaded(previous, prepared);
      },
      dispose() {
        pending = undefined;
        return prepared.dispose();
      },
    };
    return pending;
  }

  async function tellReloaded(previous: Configuration, { loaded, snapshot: { shadow } }: Configuration): Promise<void> {
    log.info({ policy: loaded.hash, shadow: shadow?.loaded.hash }, 'configuration reloaded');
    await record({ event: 'reloaded', previous: previous.loaded.hash, shadow: shadow?.loaded.hash });
    if (shadow?.problem === undefined) return;
    log.error(`the shadow was not reloaded, the old one goes on: ${shadow.problem}`);
    await record({ event: 'shadow refused', problem: shadow.problem });
  }

  async function refuse(problem: string, isTold = false): Promise<void> {
    observe.configurationRefused(problem);
    if (isTold) return;
    log.error(`configuration not reloaded, the old one stays in force: ${problem}`);
    await record({ event: 'reload refused', problem });
  }

  async function replace(load: Load): Promise<void> {
    let prepared: PreparedReload;
    try {
      prepared = await prepare(load);
    } catch (cause) {
      if (signal.aborted) return;
      return refuse(messageOf(cause));
    }
    await prepared.commit();
  }

  return {
    reload(load) {
      last = last
        .then(() => (signal.aborted ? undefined : replace(load)))
        .catch((cause: unknown) => log.error({ err: cause }, 'a reload ended unexpectedly'));
      return last;
    },
    prepare,
    refuse,
    settled: () => last.then(() => pending?.dispose()),
  };
}

/** The promise's value; rejects as soon as the signal is aborted, though what was begun may go on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
