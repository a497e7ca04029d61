// Reading of a presented credential: its owner, and the reason for which it verified or not. Holds no secret.
import type { GatewayError } from '../../errors.ts';
import type { Route } from '../../gateway/route.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { Authenticated } from './presented-credentials.ts';

/** A credential, and what came of it. */
export interface CredentialReading {
  readonly kind: 'access token' | 'API key' | 'client certificate';
  /** `stated`: made up, there was none to verify. `decoded`: genuine or not, its signature was not verified. */
  readonly state: 'verified' | 'refused' | 'unavailable' | 'stated' | 'decoded' | 'not_looked_at';
  /** The authenticator that owns it. */
  readonly authenticator: string | undefined;
  /** `jti`, key id or fingerprint. */
  readonly id: string | undefined;
  /** The stable reason of a refusal. */
  readonly reason: string | undefined;
  /** One sentence for people. */
  readonly why: string;
  /** Parts of it, by name. */
  readonly facts: Readonly<Record<string, string>>;
}

/** The facts that the readings are made of. */
export interface ReadingContext {
  readonly policyFile: PolicyFile;
  readonly route: Route | undefined;
  /** Undefined where no route was matched: nothing was looked at. */
  readonly authenticated: Authenticated | undefined;
  readonly at: number;
  readonly clientAddress: string;
  readonly offline: boolean;
}

/** The part that all kinds have in common. */
export type Judged = Pick<CredentialReading, 'state' | 'authenticator' | 'id' | 'reason'>;

/** The state of a credential. `kinds` are those of records and errors that may be about it. */
export function judged(kinds: readonly string[], { authenticated, route }: ReadingContext): Judged {
  const record = authenticated?.seen.find(({ kind }) => kinds.includes(kind));
  const { authenticator, id } = record ?? {};
  const known = { authenticator, id };
  if (route === undefined || route.requirements.kind === 'none' || record === undefined)
    return { ...known, state: 'not_looked_at', reason: undefined };
  const { error } = authenticated!;
  if (error !== undefined && kinds.includes(credentialOf(error) ?? '')) {
    const state = error.code === 'idp_unavailable' ? 'unavailable' : 'refused';
    return { ...known, state, reason: error.reason ?? error.code };
  }
  return { ...known, state: record.principal === undefined ? 'not_looked_at' : 'verified', reason: undefined };
}

/** The kind of the credential that a refusal is about. */
function credentialOf({ detail }: GatewayError): string | undefined {
  const { kind } = Object(detail?.credential) as { readonly kind?: string };
  return kind;
}

export const notLookedAt = 'not looked at: the request was refused before, or the route asks for no credential';

/** The entry of the revocation list that refused the credential. */
export function revokedBy({ authenticated }: ReadingContext): string {
  const { revokedBy: entry } = Object(authenticated?.error?.detail?.credential) as { readonly revokedBy?: unknown };
  return entry === undefined ? 'a certificate revocation list has it' : textOf(entry);
}

/** A time in words, RFC 3339. */
export function instant(ms: number | undefined): string {
  return ms === undefined || Number.isNaN(new Date(ms).getTime()) ? 'an unknown time' : new Date(ms).toISOString();
}

/** Values in words. */
export function list(values: readonly unknown[] | undefined): string {
  return values === undefined || values.length === 0 ? 'none' : values.map(textOf).join(', ');
}

/** A value in words: text as it is, anything else as JSON. */
export function textOf(value: unknown): string {
  if (value === undefined) return 'absent';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
