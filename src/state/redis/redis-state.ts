// Shared state of replicas in Redis or Valkey, with a local state in front of it and, where configured, in its place.
import { hash, randomBytes } from 'node:crypto';
import { createBoundedCache } from '../../bounded-cache.ts';
import { GatewayError } from '../../errors.ts';
import { defaultBuckets } from '../local-state.ts';
import type { StateConfig } from '../schema.ts';
import type { Claim, Limiter, LimitSize, SharedState } from '../shared-state.ts';
import { createUsageStore } from '../usage-store.ts';
import { type Circuit, type CircuitTimes, createCircuit, type OutageObserver } from './circuit.ts';
import type { OpenRedis } from './client.ts';
import { StateFailure, type StateOutcome } from './failure.ts';
import { createRedisLimiter, type RunScript } from './redis-limiter.ts';

/** Dependencies of the state. */
export interface RedisStateOptions {
  readonly open: OpenRedis;
  readonly config: StateConfig;
  /** Of this process: it sees every claim first, and bounds them. */
  readonly local: SharedState;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly times?: CircuitTimes | undefined;
  readonly observe: OutageObserver & {
    /** A question that was not answered, also during an outage. */
    stateFailed(outcome: StateOutcome): void;
  };
}

/** The state, and the circuit that it asks through. */
export type RedisState = SharedState & Pick<Circuit, 'connect' | 'outage' | 'close'>;

/** A secret is put again after this time, so that a server that has lost it has it back. */
const repeatSecretMs = 60_000;
const maxSecrets = 64;

interface KnownSecret {
  readonly key: Buffer;
  readonly until: number;
  readonly confirmedMs: number;
}

/** Creates a state that is not connected. */
export function createRedisState({ open, config, local, now, observe, times }: RedisStateOptions): RedisState {
  const { prefix } = config.redis;
  const circuit = createCircuit(open, `${prefix}trial`, observe, times);
  const secrets = createBoundedCache<KnownSecret>({ entries: maxSecrets });
  const usages = createUsageStore(defaultBuckets, now);
  const limiters = new Map<string, { readonly size: LimitSize; readonly limiter: Limiter }>();

  /** The answer; or, while there is none, what `onFailure` says. */
  async function orLocal<T>(asked: Promise<T>, locally: () => Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (!(error instanceof StateFailure)) throw error;
      observe.stateFailed(error.outcome);
      if (config.onFailure === 'local') return locally();
      throw stateUnavailable(error);
    }
  }

  async function shareSecret(name: string, keepMs: number, known: KnownSecret | undefined): Promise<Buffer> {
    const own = known?.key ?? randomBytes(32);
    const key = `${prefix}secret:${name}`;
    const put = ['SET', key, own.toString('base64url'), 'NX', 'GET', 'PX', String(keepMs)];
    const shared = await circuit.ask(key, put, (reply) => (reply === null ? own : secretOf(reply)));
    secrets.set(name, { key: shared, until: known?.until ?? now() + keepMs, confirmedMs: now() });
    return shared;
  }

  const run: RunScript = (script, key, args) => circuit.ask(key, ['EVAL', script, '1', key, ...args], pairOf);

  return {
    connect: circuit.connect,
    outage: circuit.outage,
    close: circuit.close,
    async claim(space, caller, id, keepMs) {
      const here = await local.claim(space, caller, id, keepMs);
      if (here !== 'added') return here;
      const key = `${prefix}${space}:${id}`;
      const claimed = circuit.ask(key, ['SET', key, '1', 'NX', 'PX', String(keepMs)], claimOf);
      return orLocal<Claim>(claimed, async () => 'added');
    },
    limiter(name, size) {
      const known = limiters.get(name);
      if (known?.size === size) return known.limiter;
      const shared = createRedisLimiter(name, size, { keyPrefix: `${prefix}limit:`, run, usages, digest, now });
      const here = local.limiter(name, size);
      const limiter: Limiter = {
        consume: (...call) => orLocal(shared.consume(...call), () => here.consume(...call)),
        giveBack: (...call) => orLocal(shared.giveBack(...call), () => here.giveBack(...call)),
      };
      limiters.set(name, { size, limiter });
      return limiter;
    },
    async secret(name, keepMs) {
      const found = secrets.get(name);
      const known = found !== undefined && now() < found.until ? found : undefined;
      if (known !== undefined && now() - known.confirmedMs < repeatSecretMs) return known.key;
      const shared = shareSecret(name, keepMs, known);
      return known === undefined ? orLocal(shared, () => local.secret(name, keepMs)) : shared.catch(() => known.key);
    },
  };
}

/** The names of callers are not shown to whoever reads the keys, and take no room. */
function digest(key: string): string {
  return hash('sha256', key, 'base64url');
}

function claimOf(reply: unknown): Claim | undefined {
  if (reply === 'OK') return 'added';
  return reply === null ? 'present' : undefined;
}

function secretOf(reply: unknown): Buffer | undefined {
  return typeof reply === 'string' && /^[\w-]{43}$/.test(reply) ? Buffer.from(reply, 'base64url') : undefined;
}

/** Two whole numbers from 0 on: anything else would be an allowed request for the library. */
function pairOf(reply: unknown): readonly [number, number] | undefined {
  const isPair =
    Array.isArray(reply) && reply.length === 2 && reply.every((each) => Number.isSafeInteger(each) && each >= 0);
  return isPair ? (reply as [number, number]) : undefined;
}

function stateUnavailable(failure: StateFailure): GatewayError {
  return new GatewayError(
    'state_unavailable',
    'This gateway cannot reach the state that it shares with its replicas, which this request needs. Try again shortly.',
    {
      reason: 'shared_state',
      headers: { 'retry-after': '1' },
      detail: { state: { problem: failure.outcome } },
      cause: failure,
    },
  );
}
