// Shared state that a reload replaces: that of replicas, or the one that the process began with.
import { hash } from 'node:crypto';
import type { NamedFiles } from '../named-files.ts';
import type { CircuitTimes } from './redis/circuit.ts';
import { loadRedis } from './redis/client.ts';
import type { StateFailure, StateOutcome } from './redis/failure.ts';
import { createRedisState, type RedisState } from './redis/redis-state.ts';
import type { StateConfig } from './schema.ts';
import type { SharedState } from './shared-state.ts';

/** A section that is ready to come into force. */
export interface PreparedState {
  /** Puts it into force, and closes the one before once its questions are answered. Cannot fail. */
  commit(): void;
  /** Closes what was opened for it; once it is committed, nothing. */
  dispose(): Promise<void>;
}

/** The state of replicas, for `/status`. */
export interface StateStatus {
  readonly kind: 'redis';
  readonly available: boolean;
  readonly onFailure: StateConfig['onFailure'];
  readonly problem?: StateOutcome;
}

/** The state in force, under one interface for the whole life of the process. */
export interface SwitchedState extends SharedState {
  /** Connects to the server of a section. One that cannot be reached is no error: it is an outage. Throws where the section cannot be used. */
  prepare(config: StateConfig | undefined, files: NamedFiles): Promise<PreparedState>;
  /** Undefined where no replicas share anything. */
  status(): StateStatus | undefined;
  close(): Promise<void>;
}

/** Told of failures, with what then applies. */
export interface StateObserver {
  stateFailed(outcome: StateOutcome): void;
  /** Told of the state that comes into force, and when an outage of it begins or ends. Undefined: no replicas share anything. */
  stateChanged(
    to: { readonly onFailure: StateConfig['onFailure']; readonly failure: StateFailure | undefined } | undefined,
  ): void;
}

/** Dependencies of the state. */
export interface SwitchedStateOptions {
  /** In force where the configuration names no server. */
  readonly base: SharedState;
  /** Of this process. */
  readonly local: SharedState;
  readonly now: () => number;
  readonly observe: StateObserver;
  readonly times?: CircuitTimes | undefined;
}

interface Shared {
  readonly config: StateConfig;
  readonly key: string;
  readonly state: RedisState;
}

/** Creates the state, with `base` in force. */
export function createSwitchedState({ base, local, now, observe, times }: SwitchedStateOptions): SwitchedState {
  let shared: Shared | undefined;

  async function open(config: StateConfig, key: string, files: NamedFiles): Promise<Shared> {
    const open = await loadRedis(config.redis, files);
    const opened: Shared = {
      config,
      key,
      state: createRedisState({
        ...{ open, config, local, now, times },
        observe: {
          stateFailed: observe.stateFailed,
          // Of a section that is not in force yet nothing is told, of one that is no more neither.
          outageBegan: () => shared === opened && tell(opened),
          outageEnded: () => shared === opened && tell(opened),
        },
      }),
    };
    await opened.state.connect();
    return opened;
  }

  function tell(now: Shared | undefined): void {
    const failure = now?.state.outage();
    observe.stateChanged(now && { onFailure: now.config.onFailure, failure });
  }

  function install(next: Shared | undefined): void {
    const before = shared;
    shared = next;
    if (before === next) return;
    tell(next);
    void before?.state.close();
  }

  return {
    claim: (space, caller, id, keepMs) => (shared?.state ?? base).claim(space, caller, id, keepMs),
    secret: (name, keepMs) => (shared?.state ?? base).secret(name, keepMs),
    limiter: (name, size) => ({
      consume: (...call) => (shared?.state ?? base).limiter(name, size).consume(...call),
      giveBack: (...call) => (shared?.state ?? base).limiter(name, size).giveBack(...call),
    }),
    async prepare(config, files) {
      const key = config === undefined ? '' : keyOf(config, files);
      const next = config === undefined || shared?.key === key ? undefined : await open(config, key, files);
      let committed = false;
      return {
        commit() {
          committed = true;
          install(config === undefined ? undefined : (next ?? shared));
        },
        async dispose() {
          if (!committed) await next?.state.close();
        },
      };
    },
    status() {
      if (shared === undefined) return undefined;
      const problem = shared.state.outage()?.outcome;
      const { onFailure } = shared.config;
      return { kind: 'redis', available: problem === undefined, onFailure, ...(problem && { problem }) };
    },
    async close() {
      await shared?.state.close();
    },
  };
}

/** Equal for sections with which one connection goes on. */
function keyOf(config: StateConfig, files: NamedFiles): string {
  const { caFile, certFile, keyFile } = config.redis;
  const contents = [caFile, certFile, keyFile].map((path) => path && hash('sha256', files.get(path)!));
  return JSON.stringify([config, contents]);
}
