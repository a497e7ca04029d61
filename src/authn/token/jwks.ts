// JSON Web Key Set of one issuer (RFC 7517), cached: the last good one serves while the issuer fails. Unknown keys cause few fetches.
import { hash } from 'node:crypto';
import type { Log } from '../../log.ts';
import { isCoolingDown } from '../../oauth/single-flight.ts';
import { issuerUnavailable } from '../errors.ts';
import { parseKeySet, type VerificationKey } from './jwk.ts';
import { createKeySource, type KeySourceOptions } from './jwks-source.ts';

/** A key and the set that it is from. */
export interface ResolvedKey {
  readonly key: VerificationKey;
  /** Of the set that the key is from. */
  readonly generation: number;
}

/** The keys of one issuer. */
export interface KeySet {
  readonly issuer: string;
  /**
   * The key for a token's `kid` and `alg`; undefined when the issuer has none. Fetches at most once in 10 s. Throws GatewayError `idp_unavailable` when
   * there is no set that is recent enough.
   */
  resolve(kid: string | undefined, algorithm: string): Promise<ResolvedKey | undefined>;
  /** Changes whenever the keys change; undefined while there is no set that is recent enough. */
  generation(): number | undefined;
  /** The issuer's metadata (RFC 8414) as JSON, as old as the keys may be; undefined when none was found that is recent enough. */
  metadata(): string | undefined;
  ready(): boolean;
  /** Since the last successful fetch; undefined before the first. */
  ageSeconds(): number | undefined;
  /** Begins to fetch the keys and to keep them fresh, unless it has begun. */
  start(): void;
  /** Stops refreshing. */
  close(): void;
}

/** Options of `createKeySet`. */
export interface KeySetOptions extends Pick<KeySourceOptions, 'authorities' | 'egress'> {
  readonly issuer: string;
  readonly jwksUri?: string | undefined;
  readonly insecure: boolean;
  /** Fetch the issuer's metadata also where `jwksUri` makes them needless for the keys. Default no. */
  readonly metadataWanted?: boolean;
  readonly refreshMs: number;
  readonly maxStaleMs: number;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { keySetRefreshFailed(issuer: string): void };
  /** Runs something once after a delay; returns its cancellation. Default: a timer that keeps no process alive. */
  readonly schedule?: Schedule | undefined;
}

export type Schedule = (run: () => void, delayMs: number) => () => void;

const cooldownMs = 10_000;
const maxTimerMs = 2 ** 31 - 1;

interface CurrentSet {
  readonly keys: readonly VerificationKey[];
  readonly fingerprint: string;
  readonly generation: number;
  readonly fetchedAt: number;
}

/** Creates the set; nothing is fetched before `start`. Failures are retried in the background until `close`. */
export function createKeySet(options: KeySetOptions): KeySet {
  const { issuer, log, now, refreshMs, maxStaleMs } = options;
  const schedule = options.schedule ?? scheduleTimer;
  const source = createKeySource({
    issuer,
    jwksUri: options.jwksUri,
    insecure: options.insecure,
    metadataWanted: options.metadataWanted ?? false,
    authorities: options.authorities,
    egress: options.egress,
    observe: {
      metadataFound: (document) => {
        metadata = { text: JSON.stringify(document), foundAt: now() };
      },
      metadataFailed(error) {
        if (!closed)
          log.warn(
            { issuer, error: (error as Error).message },
            'issuer metadata, wanted for clients of MCP 2025-03-26, could not be fetched; server.authorizationServerMetadata: off stops asking',
          );
      },
    },
  });
  let metadata: { readonly text: string; readonly foundAt: number } | undefined;
  let current: CurrentSet | undefined;
  let attemptedAt: number | undefined;
  let lastFailure: unknown;
  let inFlight: Promise<void> | undefined;
  let cancelNext = () => {};
  let started = false;
  let closed = false;

  async function attempt(rediscover: boolean): Promise<void> {
    try {
      const { keys, refused } = parseKeySet(await source.fetch(rediscover));
      const fingerprint = fingerprintOf(keys);
      const same = current?.fingerprint === fingerprint;
      if (!same) log.info({ issuer, keys: keys.length, refused: Object.fromEntries(refused) }, 'key set loaded');
      current =
        current !== undefined && same
          ? { ...current, fetchedAt: now() }
          : { keys, fingerprint, generation: (current?.generation ?? 0) + 1, fetchedAt: now() };
      lastFailure = undefined;
    } catch (error) {
      lastFailure = error;
      if (closed) return;
      options.observe.keySetRefreshFailed(issuer);
      log.warn({ issuer, error: (error as Error).message }, 'key set could not be fetched');
    } finally {
      attemptedAt = now();
      inFlight = undefined;
      cancelNext();
      if (!closed) cancelNext = schedule(() => refresh(true), lastFailure === undefined ? refreshMs : cooldownMs);
    }
  }

  function refresh(rediscover: boolean): Promise<void> {
    if (closed) return Promise.resolve();
    inFlight ??= attempt(rediscover);
    return inFlight;
  }

  function usable(): CurrentSet | undefined {
    return current !== undefined && now() - current.fetchedAt <= maxStaleMs ? current : undefined;
  }

  async function resolve(kid: string | undefined, algorithm: string): Promise<ResolvedKey | undefined> {
    const known = usable();
    const key = known && findKey(known, kid, algorithm);
    if (key !== undefined && now() - known!.fetchedAt > refreshMs && !isCoolingDown(attemptedAt, cooldownMs, now()))
      void refresh(true);
    if (key !== undefined) return key;
    if (inFlight === undefined && isCoolingDown(attemptedAt, cooldownMs, now())) {
      if (known === undefined) throw issuerUnavailable(lastFailure);
      return undefined;
    }
    await refresh(known === undefined);
    const fetched = usable();
    if (fetched === undefined) throw issuerUnavailable(lastFailure);
    return findKey(fetched, kid, algorithm);
  }

  return {
    issuer,
    start() {
      if (started) return;
      started = true;
      void refresh(true);
    },
    resolve,
    generation: () => usable()?.generation,
    metadata: () => (metadata !== undefined && now() - metadata.foundAt <= maxStaleMs ? metadata.text : undefined),
    ready: () => usable() !== undefined,
    ageSeconds: () => (current === undefined ? undefined : (now() - current.fetchedAt) / 1000),
    close() {
      closed = true;
      cancelNext();
      source.close();
    },
  };
}

/** The one key that fits. Without a `kid` there must be only one: nothing is tried out. */
function findKey(set: CurrentSet, kid: string | undefined, algorithm: string): ResolvedKey | undefined {
  const fitting = set.keys.filter((key) => (kid === undefined || key.kid === kid) && key.algorithms.has(algorithm));
  const [first] = fitting;
  if (first === undefined || fitting.some((key) => key.thumbprint !== first.thumbprint)) return undefined;
  return { key: first, generation: set.generation };
}

function fingerprintOf(keys: readonly VerificationKey[]): string {
  const parts = keys.map((key) => JSON.stringify([key.kid ?? null, key.thumbprint, [...key.algorithms]]));
  return hash('sha256', parts.sort().join('\n'), 'base64');
}

function scheduleTimer(run: () => void, delayMs: number): () => void {
  const timer = setTimeout(run, Math.min(delayMs, maxTimerMs)).unref();
  return () => clearTimeout(timer);
}
