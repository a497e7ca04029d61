// The shape of `upstreams.*.identity`: how an upstream learns who is calling.
import { z } from 'zod';
import { assertionAlgorithms } from '../upstream/identity/assertion-key.ts';
import { type IdentityFact, identityHeaderDefaults } from '../upstream/identity/identity-headers.ts';
import { oauthClientKeys } from './schema/oauth-client.ts';
import { authenticatorName, filePath, headerName, httpUrl, scopes, text } from './schema/values.ts';
import { duration } from './units.ts';

const minLifetimeMs = 5000;
const maxLifetimeMs = 600_000;

const identityHeaders = z.partialRecord(
  z.enum(Object.keys(identityHeaderDefaults) as [IdentityFact, ...IdentityFact[]]),
  headerName,
);

const assertion = z.strictObject({
  audience: text.describe('Its `aud`: the name that the upstream expects.'),
  algorithm: z.enum(assertionAlgorithms).default('ES256').describe('How it is signed.'),
  username: z
    .record(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected the name of an authenticator, or default'), text)
    .default({ default: '${subject}' })
    .describe(
      'The name that the upstream knows a caller by: a template over the principal, by authenticator, or default.',
    ),
  scopes: scopes
    .default([])
    .describe('Scopes that the upstream asks of every caller, besides those that the caller has.'),
  claims: z
    .record(text, text)
    .default({ email: 'email', tenant: 'tenant' })
    .describe(
      "Further claims: the upstream's name to a claim that authenticators configure; left out where it is absent.",
    ),
  keyFiles: z
    .array(filePath)
    .max(8)
    .default([])
    .describe(
      'PEM files with private keys: the first signs, all are published; default one of the process, kept over reloads.',
    ),
  lifetime: duration
    .refine((ms) => ms >= minLifetimeMs && ms <= maxLifetimeMs, 'expected a duration from 5s to 10m')
    .prefault('60s')
    .describe('How long it is valid; never beyond the credential itself.'),
});

const exchange = z.strictObject({
  authenticator: authenticatorName.describe('Whose access tokens are exchanged, at their issuer.'),
  endpoint: httpUrl.describe("The issuer's token endpoint."),
  insecure: z.boolean().default(false).describe('Accept plain http for the endpoint beyond loopback.'),
  ...oauthClientKeys,
  audience: text.optional().describe("The upstream's name at the issuer; this, resource or both."),
  resource: httpUrl.optional().describe("The upstream's resource identifier at the issuer."),
  scopes: scopes.default([]).describe('The scopes that are asked for; default what the issuer thinks fit.'),
});

export const identity = z.strictObject({
  headers: z
    .union([z.boolean(), identityHeaders])
    .default(true)
    .describe('Identity headers: the default names, none, or fact: header-name.'),
  assertion: assertion.optional().describe('A JWT signed by the gateway, sent as Authorization: Bearer.'),
  exchange: exchange
    .optional()
    .describe(
      "The caller's token exchanged at its issuer for one for the upstream (RFC 8693), sent as Authorization: Bearer.",
    ),
});
