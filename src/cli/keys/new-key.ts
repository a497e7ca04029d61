// New API keys: the key itself, and its configuration entry with the digest.
import { hash, randomBytes } from 'node:crypto';
import { stringify } from 'yaml';
import { apiKeyEntry } from '../../authn/api-key.ts';

/** A new key and its entry. */
export interface NewApiKey {
  /** The key as the client presents it. Shown once, stored nowhere. */
  readonly key: string;
  /** The entry for `keys:` or the keys file. */
  readonly entry: {
    readonly id: string;
    readonly hash: string;
    readonly clientId: string;
    readonly scopes: readonly string[];
    readonly expires: string;
    readonly networks?: readonly string[];
  };
}

/** Options of `createApiKey`. */
export interface NewApiKeyOptions {
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly prefix: string;
  /** Default: the client's id and the first digits of the hash. */
  readonly id?: string | undefined;
  /** A day or an instant, in the format of the configuration. */
  readonly expires: string;
  readonly networks?: readonly string[] | undefined;
}

/** Makes a key from `secret` (256 random bits) and its entry, which holds only the SHA-256 digest of the key. */
export function createApiKey(options: NewApiKeyOptions, secret: Buffer = randomBytes(32)): NewApiKey {
  const key = `${options.prefix}${secret.toString('base64url')}`;
  const digest = hash('sha256', key, 'hex');
  const entry = {
    id: options.id ?? `${options.clientId}-${digest.slice(0, 8)}`,
    hash: `sha256:${digest}`,
    clientId: options.clientId,
    scopes: options.scopes,
    expires: options.expires,
    ...(options.networks && { networks: options.networks }),
  };
  return { key, entry };
}

/** Validates the entry against the configuration's schema. Returns the problem, if any. */
export function problemOfEntry(entry: NewApiKey['entry'], now: number): string | undefined {
  const parsed = apiKeyEntry.safeParse(entry);
  if (!parsed.success)
    return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  if ((parsed.data.expires ?? 0) <= now) return `expires: ${entry.expires} has passed`;
  return undefined;
}

/** The key itself, for a person. */
export function keyLines(key: string): string[] {
  return ['The key, shown once and stored nowhere; give it to the client over a safe channel:', '', `  ${key}`, ''];
}

/** The key and its entry, for a person. */
export function describeNewKey({ key, entry }: NewApiKey): string {
  const { scopes, ...rest } = entry;
  const yaml = stringify([{ ...rest, scopes }], { lineWidth: 0, collectionStyle: 'block' });
  return [...keyLines(key), "Its entry, below the authenticator's keys: or in its keysFile:", '', yaml].join('\n');
}
