// Authenticator of API keys, by their hashes, with the announcement of their end (RFC 9745, RFC 8594).
import { hash, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import type { Path, SectionReporter } from '../config/schema/reporter.ts';
import { date, filePath, headerName, httpUrl, networks, scopes, text } from '../config/schema/values.ts';
import { compileNetworks, type NetworkMatcher } from '../ip-ranges.ts';
import {
  type KeyAuthenticator,
  refused,
  type Verification,
  type VerificationContext,
  type Verified,
} from './authenticator.ts';
import type { AuthenticatorType } from './authenticator-type.ts';
import { capScopes } from './caller/scopes.ts';

const sha256 = /^sha256:[0-9a-fA-F]{64}$/;

/** One API key, in the configuration itself or in `keysFile`. */
export const apiKeyEntry = z.strictObject({
  id: z.string().min(1).max(128).describe('Names the key in records and metrics.'),
  hash: z
    .string()
    .regex(sha256, 'expected sha256: and 64 hex digits; `portcullis keys new` makes a key and its hash')
    .transform((value) => value.toLowerCase())
    .describe('SHA-256 of the whole key, prefix included: sha256: and 64 hex digits.'),
  clientId: text.describe('The client that the key belongs to.'),
  scopes: scopes.describe('Scopes that it grants.'),
  notBefore: date.optional().describe('Refused before this instant.'),
  expires: date.optional().describe('Refused from this instant on. Required unless the authenticator has a sunset.'),
  networks: networks.optional().describe('Addresses it may be used from; default any.'),
});
export type ApiKeyEntry = z.output<typeof apiKeyEntry>;

const schema = z.strictObject({
  type: z.literal('apiKey').describe('Keys from the time before OAuth, known by their hashes only.'),
  header: headerName.default('x-api-key').describe('The header a key may come in, besides Authorization: Bearer.'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected letters, digits, _ and -')
    .default('sk_')
    .describe('How every key of this authenticator begins.'),
  deprecation: date.optional().describe('From then on answers carry a Deprecation header.'),
  sunset: date.optional().describe('Announced in a Sunset header; from then on every key is refused.'),
  migrationGuide: httpUrl.optional().describe('The page that Deprecation and Sunset link to.'),
  keys: z.array(apiKeyEntry).optional().describe('The keys.'),
  keysFile: filePath.optional().describe('A YAML file with a list of keys, besides or instead of keys.'),
  maxScopes: scopes.optional().describe('The most this authenticator may grant; default no cap.'),
});
export type ApiKeyConfig = z.output<typeof schema>;

export const apiKeyType = {
  schema,
  check: checkDates,
  create: createApiKeyAuthenticator,
} satisfies AuthenticatorType<ApiKeyConfig>;

function checkDates(config: ApiKeyConfig, path: Path, reporter: SectionReporter): void {
  const { deprecation, sunset } = config;
  if (deprecation !== undefined && sunset !== undefined && sunset < deprecation) {
    reporter.error([...path, 'sunset'], 'must not be before deprecation (RFC 9745 §4)');
  }
  if (sunset !== undefined && sunset <= reporter.now) {
    reporter.warn([...path, 'sunset'], 'has passed: every key of this authenticator is refused');
  }
  if (config.keys === undefined && config.keysFile === undefined) reporter.error(path, 'needs keys or keysFile');
}

interface CompiledKey {
  readonly digest: Buffer;
  readonly notBefore: number;
  /** The first instant refused. */
  readonly expires: number;
  readonly networks: NetworkMatcher | undefined;
  readonly verified: Verified;
  /** The same with the headers that announce the end. */
  readonly announced: Verified;
}

/** Creates the verifier. Throws an Error when a hash is malformed or stands for two keys. */
export function createApiKeyAuthenticator(name: string, config: ApiKeyConfig): KeyAuthenticator {
  const { prefix, header } = config;
  const cap = config.maxScopes && new Set(config.maxScopes);
  const keys = new Map<string, CompiledKey>();
  const keysById = new Map<string | undefined, CompiledKey>();
  for (const entry of config.keys ?? []) {
    const digest = digestOf(entry);
    if (keys.has(digest)) throw new Error(`authenticators.${name}: key "${entry.id}" has the hash of another key`);
    const key = compileKey(name, config, entry, digest, cap);
    keys.set(digest, key);
    keysById.set(entry.id, key);
  }
  const sunset = config.sunset ?? Number.POSITIVE_INFINITY;
  // Without a date of deprecation the sunset is announced at once: keys with an end should never end without notice.
  const announcedFrom = config.deprecation ?? (config.sunset === undefined ? Number.POSITIVE_INFINITY : 0);

  function verifyKey(key: CompiledKey, { now, clientAddress }: VerificationContext): Verification {
    const { principal } = key.verified;
    if (now >= sunset) return refused('sunset', principal);
    if (now < key.notBefore) return refused('not_yet_valid', principal);
    if (now >= key.expires) return refused('expired', principal);
    if (key.networks?.(clientAddress) === false) return refused('network', principal);
    return now >= announcedFrom ? key.announced : key.verified;
  }

  function verifyDigest(digest: string, context: VerificationContext): Verification {
    const key = keys.get(digest);
    if (key === undefined || !timingSafeEqual(key.digest, Buffer.from(digest, 'hex'))) return refused('unknown');
    return verifyKey(key, context);
  }

  return {
    name,
    accepts: 'api-key',
    prefix,
    header,
    verify(presented, context) {
      if (!presented.key.startsWith(prefix)) return refused('format');
      if (presented.header !== header && presented.header !== 'authorization') return refused('format');
      return verifyDigest(hash('sha256', presented.key, 'hex'), context);
    },
    digestOf: ({ credentialId }) => keysById.get(credentialId)?.digest.toString('hex'),
    verifyDigest,
    configurationOf(principal) {
      const key = keysById.get(principal.credentialId);
      return key && [header, prefix, key.digest.toString('hex')].join(' ');
    },
    reverify(principal, context) {
      const key = keysById.get(principal.credentialId);
      return key === undefined ? refused('unknown') : verifyKey(key, context);
    },
  };
}

function digestOf(entry: ApiKeyEntry): string {
  const digits = /^sha256:([0-9a-f]{64})$/i.exec(entry.hash)?.[1];
  if (digits === undefined) throw new Error(`key "${entry.id}": the hash is not sha256: and 64 hex digits`);
  return digits.toLowerCase();
}

/** The first instant at which a key is refused: its own expiry, or the sunset of its authenticator; infinity without both. Milliseconds since 1970. */
export function endOfKey(
  { expires = Number.POSITIVE_INFINITY }: Pick<ApiKeyEntry, 'expires'>,
  { sunset = Number.POSITIVE_INFINITY }: Pick<ApiKeyConfig, 'sunset'>,
): number {
  return Math.min(expires, sunset);
}

function compileKey(
  authenticator: string,
  config: ApiKeyConfig,
  entry: ApiKeyEntry,
  digest: string,
  cap: ReadonlySet<string> | undefined,
): CompiledKey {
  const expires = endOfKey(entry, config);
  const verified: Verified = {
    verified: true,
    principal: {
      kind: 'api-key',
      authenticator,
      issuer: authenticator,
      subject: entry.clientId,
      clientId: entry.clientId,
      credentialId: entry.id,
      scopes: capScopes(entry.scopes, cap),
      claims: {},
      issuedAt: undefined,
      expiresAt: Number.isFinite(expires) ? expires : undefined,
      confirmation: undefined,
    },
  };
  return {
    digest: Buffer.from(digest, 'hex'),
    notBefore: entry.notBefore ?? Number.NEGATIVE_INFINITY,
    expires,
    networks: entry.networks && compileNetworks(entry.networks),
    verified,
    announced: { ...verified, responseHeaders: announcement(config) },
  };
}

/** Deprecation is a structured date (RFC 9745 §2.1), Sunset an HTTP date (RFC 8594 §3). */
function announcement(config: ApiKeyConfig): Readonly<Record<string, string>> {
  const { deprecation, sunset, migrationGuide } = config;
  return {
    ...(deprecation !== undefined && { Deprecation: `@${Math.floor(deprecation / 1000)}` }),
    ...(sunset !== undefined && { Sunset: new Date(sunset).toUTCString() }),
    ...(migrationGuide !== undefined && {
      Link: `<${migrationGuide}>; rel="${deprecation === undefined ? 'sunset' : 'deprecation'}"`,
    }),
  };
}
