// Configuration keys that all authenticators of access tokens share.
import * as z from 'zod';
import type { Path, SectionReporter } from '../../config/schema/reporter.ts';
import { duration, filePath, oneOrMore, scopes, text } from '../../config/schema/values.ts';
import { dpopSchema } from './binding/dpop.ts';
import { claimPathProblem } from './claim-path.ts';

const maxClockToleranceMs = 300_000;

export const tokenKeys = {
  caFile: filePath
    .optional()
    .describe('PEM file: the authorities of the servers that are asked; default the public ones.'),
  audience: oneOrMore(text).optional().describe('Accepted `aud` values; default: the resource of the route.'),
  audienceForm: z
    .enum(['resource', 'identifier', 'clientId'])
    .default('resource')
    .describe(
      'Meaning of audiences: resources; names that the issuer has for this gateway; or clients, of tokens without `aud`.',
    ),
  scopeClaims: z
    .array(text)
    .min(1)
    .default(['scope', 'scp', 'permissions'])
    .describe('Claims that hold scopes; nested ones by a JSON pointer or dotted path, as everywhere below.'),
  scopesFrom: z
    .enum(['all', 'first'])
    .default('all')
    .describe('all: the scope claims count together; first: only the first that is present.'),
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
  scopePrefix: z
    .string()
    .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'expected the beginning of a scope, such as api://APP/')
    .optional()
    .describe(
      'Stands before the scopes that clients are told to ask for, where the issuer names them so; tokens and rules have the short names.',
    ),
  maxScopes: scopes.optional().describe('The most this authenticator may grant; default no cap.'),
  clockTolerance: duration
    .refine((ms) => ms <= maxClockToleranceMs, 'expected at most 5m')
    .prefault('5s')
    .describe('How far the clocks may differ.'),
  dpop: dpopSchema,
};

/** The part of an authenticator's configuration that its tokens are verified by. */
export type TokenConfig = z.output<z.ZodObject<typeof tokenKeys>> & {
  readonly issuer: string;
  /** True for the ID tokens of a log-in in place of access tokens (OpenID Connect Core §2); no key of the file. */
  readonly idTokens?: true;
};

/** Checks the keys that all authenticators of access tokens have. */
export function checkTokenConfig(config: TokenConfig, path: Path, reporter: SectionReporter): void {
  if (config.issuer.includes('?')) reporter.error([...path, 'issuer'], 'must not have a query (RFC 8414 §2)');
  checkAudienceForm(config, path, reporter);
  checkClaimPaths(config, path, reporter);
  const { scopePrefix } = config;
  if (scopePrefix !== undefined && /[A-Za-z0-9]$/.test(scopePrefix)) {
    const example = reporter.show(`${scopePrefix}read`);
    reporter.warn([...path, 'scopePrefix'], `scopes are asked for as ${example}; mostly a / belongs at its end`);
  }
}

function checkClaimPaths(config: TokenConfig, path: Path, reporter: SectionReporter): void {
  const { scopeClaims, clientIdClaims, requiredClaims, claims } = config;
  const named: (readonly [at: Path, claim: string])[] = [
    ...scopeClaims.map((claim, index) => [['scopeClaims', index], claim] as const),
    ...clientIdClaims.map((claim, index) => [['clientIdClaims', index], claim] as const),
    ...Object.keys(requiredClaims).map((claim) => [['requiredClaims', claim], claim] as const),
    ...Object.entries(claims).map(([ours, claim]) => [['claims', ours], claim] as const),
  ];
  for (const [at, claim] of named) {
    const problem = claimPathProblem(claim);
    if (problem !== undefined) reporter.error([...path, ...at], `${reporter.show(claim)} ${problem}`);
  }
}

/** Only resources have a default; other names of this gateway are the issuer's. */
function checkAudienceForm({ audience, audienceForm }: TokenConfig, path: Path, reporter: SectionReporter): void {
  if (audienceForm === 'resource' || audience !== undefined) return;
  const what =
    audienceForm === 'identifier'
      ? 'the names that the issuer has for this gateway, such as api://…'
      : 'the ids of the clients whose tokens are accepted';
  const written = reporter.isWritten([...path, 'audienceForm']);
  reporter.error(written ? [...path, 'audienceForm'] : path, `audienceForm ${audienceForm} needs audience: ${what}`);
}
