// The shape of `authenticators`: one strict object a type.
import { z } from 'zod';
import { oauthClientKeys } from '../../oauth/client-auth.ts';
import {
  date,
  duration,
  filePath,
  fingerprint,
  headerName,
  httpUrl,
  issuerPresetNames,
  networks,
  oneOrMore,
  scopes,
  text,
  timeout,
} from './values.ts';

const maxClockToleranceMs = 300_000;
/** A token that was revoked at its authorization server is accepted that long. */
const maxCacheMs = 3_600_000;
const maxProofAgeMs = 300_000;
const sha256 = /^sha256:[0-9a-fA-F]{64}$/;
const signatureAlgorithm = z.enum([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
]);
const lowerCase = (value: string) => value.toLowerCase();
const maxScopes = scopes.optional().describe('The most this authenticator may grant; default no cap.');

/** Of every authenticator of access tokens. */
const dpop = z
  .union([
    z.literal('off'),
    z.strictObject({
      algorithms: z
        .array(signatureAlgorithm)
        .min(1)
        .default(['ES256', 'EdDSA', 'PS256', 'RS256'])
        .describe('Accepted signature algorithms of proofs.'),
      maxAge: timeout
        .refine((ms) => ms <= maxProofAgeMs, 'expected at most 5m')
        .prefault('60s')
        .describe('How old a proof may be.'),
      nonce: z
        .enum(['off', 'required'])
        .default('off')
        .describe('Whether proofs must hold a nonce that this gateway gave out.'),
    }),
  ])
  .prefault({})
  .describe('How the senders of DPoP-bound tokens prove themselves (RFC 9449); off: such tokens are refused.');

/** What every authenticator of access tokens reads of their claims. */
const tokenClaims = {
  audience: oneOrMore(text).optional().describe('Accepted `aud` values; default: the resource of the route.'),
  audienceForm: z
    .enum(['resource', 'identifier', 'clientId'])
    .default('resource')
    .describe(
      'What audiences are: resources; names that the issuer has for this gateway; or clients, of tokens without `aud`.',
    ),
  scopeClaims: z.array(text).min(1).default(['scope', 'scp', 'permissions']).describe('Claims that hold scopes.'),
  scopesFrom: z
    .enum(['all', 'first'])
    .default('all')
    .describe('Which of the scope claims count: what all of them hold, united, or the first that is present.'),
  clientIdClaims: z
    .array(text)
    .min(1)
    .default(['client_id', 'azp'])
    .describe('Claims that name the client; the first present counts.'),
  requireClientId: z.boolean().default(false).describe('Refuse tokens that name no client.'),
  requiredClaims: z
    .record(text, z.array(text).min(1))
    .default({})
    .describe('Claims that a token must have, each with the values it may have.'),
  claims: z.record(text, text).default({}).describe('Further claims for rules and identity: our name to their claim.'),
  maxScopes,
  clockTolerance: duration
    .refine((ms) => ms <= maxClockToleranceMs, 'expected at most 5m')
    .prefault('5s')
    .describe('How far the clocks may differ.'),
  dpop,
};

export const jwtAuthenticator = z.strictObject({
  type: z.literal('jwt').describe('OAuth 2.1 access tokens in JWT form, verified with the keys of their issuer.'),
  preset: z
    .enum(issuerPresetNames)
    .optional()
    .describe('Defaults for the tokens of a well-known authorization server; keys that are written override them.'),
  issuer: httpUrl.describe('The exact `iss` of the tokens, byte for byte.'),
  insecure: z.boolean().default(false).describe('Accept plain http for issuer and keys beyond loopback.'),
  jwksUri: httpUrl.optional().describe("Where the issuer's keys are; default: discovered from the issuer."),
  algorithms: z
    .array(signatureAlgorithm)
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Accepted signature algorithms.'),
  tokenTypes: z
    .array(text)
    .min(1)
    .default(['at+jwt'])
    .describe('Accepted `typ` values, `application/` apart; `none` for tokens without one.'),
  ...tokenClaims,
  keySet: z
    .strictObject({
      refresh: timeout.prefault('10m').describe('How often the keys are fetched anew.'),
      maxStale: duration.prefault('24h').describe('How long old keys serve while the issuer cannot be reached.'),
    })
    .prefault({})
    .describe("The issuer's key set."),
});

export const introspectionAuthenticator = z.strictObject({
  type: z.literal('introspection').describe('Access tokens that only their authorization server can read (RFC 7662).'),
  endpoint: httpUrl.describe('The introspection endpoint.'),
  issuer: httpUrl.describe('Names the issuer of the tokens; an answer that has an `iss` must have this one.'),
  insecure: z.boolean().default(false).describe('Accept plain http for the endpoint beyond loopback.'),
  ...oauthClientKeys,
  cacheFor: duration
    .refine((ms) => ms <= maxCacheMs, 'expected at most 1h')
    .prefault('30s')
    .describe('How long an active token is not asked about again; never beyond its own end.'),
  ...tokenClaims,
});

const certificateEntry = z.strictObject({
  commonName: text.optional().describe('The one common name of the subject.'),
  dnsName: text.optional().describe('A DNS name among the alternative names.'),
  uri: text.optional().describe('A URI among the alternative names, such as a SPIFFE id.'),
  fingerprint: fingerprint.optional().describe('SHA-256 of the certificate: sha256: and 64 hex digits.'),
  clientId: text.describe('The client that the certificate stands for.'),
  scopes: scopes.optional().describe('What it grants; absent: grants none, limits none.'),
});

export const mtlsAuthenticator = z.strictObject({
  type: z.literal('mtls').describe('TLS client certificates from an allowlist.'),
  caFile: filePath.optional().describe('The authority of these clients, one of clientCaFile; default any of them.'),
  allow: z.array(certificateEntry).min(1).describe('The first entry that matches names the client.'),
  maxScopes,
});

/** One API key, in the file itself or in `keysFile`. */
export const apiKeyEntry = z.strictObject({
  id: z.string().min(1).max(128).describe('Names the key in records and metrics.'),
  hash: z
    .string()
    .regex(sha256, 'expected sha256: and 64 hex digits; `portcullis keys new` makes a key and its hash')
    .transform(lowerCase)
    .describe('SHA-256 of the whole key, prefix included: sha256: and 64 hex digits.'),
  clientId: text.describe('The client that the key belongs to.'),
  scopes: scopes.describe('What it grants.'),
  notBefore: date.optional().describe('Refused before this instant.'),
  expires: date.optional().describe('Refused from this instant on. Required unless the authenticator has a sunset.'),
  networks: networks.optional().describe('Addresses it may be used from; default any.'),
});

export const apiKeyAuthenticator = z.strictObject({
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
  maxScopes,
});

export const authenticator = z.discriminatedUnion('type', [
  jwtAuthenticator,
  introspectionAuthenticator,
  mtlsAuthenticator,
  apiKeyAuthenticator,
]);
