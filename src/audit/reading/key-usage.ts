// Use of API keys, and of tokens by the same clients, among recorded requests; in bounded memory. Pure.
import { type AuditRecord, callOf, timeOf } from './record.ts';

/** The use of one key. */
export interface KeyUse {
  readonly authenticator: string;
  readonly key: string;
  readonly client: string | undefined;
  /** Accepted: allowed or not. */
  readonly requests: number;
  /** Refused for the key itself: expired, sunset, revoked, from another network. */
  readonly refused: number;
  /** Milliseconds since 1970. */
  readonly last: number;
  /** Tools, or other calls, and addresses with their requests. Of a key with very many, the first ones. */
  readonly calls: ReadonlyMap<string, number>;
  readonly addresses: ReadonlyMap<string, number>;
}

/** Counts requests by key. */
export interface KeyUsage {
  add(request: AuditRecord): void;
  /** The use of a key; undefined where it was not used. */
  of(authenticator: string, key: string): KeyUse | undefined;
  all(): readonly KeyUse[];
  /** The last allowed request of a client with a token; milliseconds since 1970. */
  lastToken(client: string): number | undefined;
  /** From the first to the last request; milliseconds since 1970, infinite without any. */
  readonly period: { readonly first: number; readonly last: number };
}

const maxKeys = 10_000;
const maxClients = 10_000;
const maxNames = 100;

type GrowingUse = { -readonly [K in keyof KeyUse]: KeyUse[K] } & Record<'calls' | 'addresses', Map<string, number>>;

/** Creates the counts. */
export function createKeyUsage(): KeyUsage {
  const uses = new Map<string, GrowingUse>();
  const tokens = new Map<string, number>();
  const period = { first: Number.POSITIVE_INFINITY, last: Number.NEGATIVE_INFINITY };
  const keyOf = (authenticator: string, key: string): string => JSON.stringify([authenticator, key]);

  function useOf({
    clientId,
    credentialId,
    issuer = '',
  }: NonNullable<AuditRecord['principal']>): GrowingUse | undefined {
    const id = keyOf(issuer, credentialId!);
    let use = uses.get(id);
    if (use === undefined && uses.size < maxKeys) {
      const counts = {
        requests: 0,
        refused: 0,
        last: Number.NEGATIVE_INFINITY,
        calls: new Map(),
        addresses: new Map(),
      };
      use = { authenticator: issuer, key: credentialId!, client: clientId, ...counts };
      uses.set(id, use);
    }
    return use;
  }

  return {
    period,
    add(request) {
      const { client, decision, principal, reason } = request;
      const time = timeOf(request);
      if (time < period.first) period.first = time;
      if (time > period.last) period.last = time;
      if (principal?.kind === 'oauth' && principal.clientId !== undefined && decision === 'allow') {
        const { clientId } = principal;
        const last = tokens.get(clientId) ?? Number.NEGATIVE_INFINITY;
        if (time > last && (tokens.has(clientId) || tokens.size < maxClients)) tokens.set(clientId, time);
      }
      if (principal?.kind !== 'api-key' || principal.credentialId === undefined) return;
      const use = useOf(principal);
      if (use === undefined) return;
      if (reason === 'invalid_api_key') use.refused += 1;
      else use.requests += 1;
      if (time > use.last) use.last = time;
      count(use.calls, callOf(request));
      if (client !== undefined) count(use.addresses, client.address);
    },
    of: (authenticator, key) => uses.get(keyOf(authenticator, key)),
    all: () => [...uses.values()],
    lastToken: (client) => tokens.get(client),
  };
}

function count(counts: Map<string, number>, name: string): void {
  const known = counts.get(name);
  if (known !== undefined || counts.size < maxNames) counts.set(name, (known ?? 0) + 1);
}
