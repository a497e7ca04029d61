// Oracle of the matrix: the outcome of every combination of credentials on every kind of route, from the rules and not from the code.
import type { TestCertificates } from '../support/certificates.ts';
import type { Configuration } from '../support/configuration.ts';
import { dpopChallenge } from '../support/dpop.ts';

export type TokenState = 'no' | 'good' | 'expired' | 'wrong-audience' | 'wrong-issuer' | 'under-scoped';
export type CertificateState = 'no' | 'good' | 'other-client' | 'unlisted' | 'other-authority';
export type KeyState = 'no' | 'good' | 'expired';
/** Where the key stands: its own header, or Authorization, where no token can stand beside it. */
export type KeyPlace = 'header' | 'bearer';

export interface Presented {
  readonly token: TokenState;
  readonly certificate: CertificateState;
  readonly key: KeyState;
  readonly keyPlace: KeyPlace;
}

type Kind = 'token' | 'certificate' | 'key';

export interface MatrixRoute {
  readonly name: string;
  /** YAML. */
  readonly authenticate: string | Configuration;
  readonly certificateFor?: string;
  /** One of these sets must be there; undefined: no credential is looked at. */
  readonly alternatives: readonly (readonly Kind[])[] | undefined;
  /** Kinds that the route names besides. */
  readonly optional?: readonly Kind[];
}

/** The scope that every route asks for. */
export const neededScope = 'dashboards:read';

/** Who is who. The agent's token and certificate are one client's, the key and the other certificate another's. */
export const clients = {
  token: { clientId: 'ai_agent_prod', subject: 'ai-agent' },
  key: { clientId: 'reporting_tool', subject: 'reporting_tool' },
  certificate: { good: 'ai_agent_prod', 'other-client': 'reporting_tool' },
} as const;

export const routes: readonly MatrixRoute[] = [
  { name: 'jwt', authenticate: 'corp', alternatives: [['token']] },
  { name: 'mtls', authenticate: 'workloads', alternatives: [['certificate']] },
  { name: 'key', authenticate: 'keys', alternatives: [['key']] },
  { name: 'jwt-or-key', authenticate: { anyOf: ['corp', 'keys'] }, alternatives: [['token'], ['key']] },
  { name: 'jwt-or-mtls', authenticate: { anyOf: ['corp', 'workloads'] }, alternatives: [['token'], ['certificate']] },
  { name: 'key-or-mtls', authenticate: { anyOf: ['keys', 'workloads'] }, alternatives: [['key'], ['certificate']] },
  {
    name: 'any',
    authenticate: { anyOf: ['corp', 'workloads', 'keys'] },
    alternatives: [['token'], ['certificate'], ['key']],
  },
  { name: 'jwt-and-mtls', authenticate: { allOf: ['workloads', 'corp'] }, alternatives: [['certificate', 'token']] },
  { name: 'key-and-mtls', authenticate: { allOf: ['keys', 'workloads'] }, alternatives: [['key', 'certificate']] },
  {
    name: 'both-or-key',
    authenticate: { anyOf: [{ allOf: ['workloads', 'corp'] }, 'keys'] },
    alternatives: [['certificate', 'token'], ['key']],
  },
  {
    name: 'optional',
    authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] },
    alternatives: [['token'], ['key']],
    optional: ['certificate'],
  },
  {
    name: 'optional-key',
    authenticate: { anyOf: ['workloads'], optional: ['keys'] },
    alternatives: [['certificate']],
    optional: ['key'],
  },
  {
    name: 'certificate-for',
    authenticate: { anyOf: ['corp', 'keys'] },
    certificateFor: 'ai_agent_prod',
    alternatives: [['token'], ['key']],
  },
  { name: 'none', authenticate: 'none', alternatives: undefined },
];

/** Every combination that can be put into one request head. */
export function combinations(): Presented[] {
  const tokens: TokenState[] = ['no', 'good', 'expired', 'wrong-audience', 'wrong-issuer', 'under-scoped'];
  const certificates: CertificateState[] = ['no', 'good', 'other-client', 'unlisted', 'other-authority'];
  const keys: readonly (readonly [KeyState, KeyPlace])[] = [
    ['no', 'header'],
    ['good', 'header'],
    ['expired', 'header'],
    ['good', 'bearer'],
    ['expired', 'bearer'],
  ];
  return tokens.flatMap((token) =>
    certificates.flatMap((certificate) =>
      keys
        .filter(([, keyPlace]) => token === 'no' || keyPlace === 'header')
        .map(([key, keyPlace]) => ({ token, certificate, key, keyPlace })),
    ),
  );
}

/** `held` says that the record names authenticator and credential, `identified` that it names the credential only. */
export type Listed = readonly [kind: Kind, standing: 'held' | 'identified' | 'unknown'];

export interface Expectation {
  readonly status: number;
  /** Undefined where the request is allowed. */
  readonly code?: string;
  readonly credentials: readonly Listed[];
  /** Also of a refused request, where the signature of what would act held. */
  readonly principal?: Kind | undefined;
  /** The scopes that the credentials grant together. */
  readonly granted?: readonly string[];
}

const tokenScopes: Readonly<Partial<Record<TokenState, readonly string[]>>> = {
  good: ['dashboards:read', 'queries:execute'],
  'under-scoped': ['queries:execute'],
};
const keyScopes = ['dashboards:read', 'queries:read', 'exports:create'];
/** Narrower than the token. The other client's entry has no scopes: it grants none and limits none. */
const certificateScopes: Readonly<Partial<Record<CertificateState, readonly string[]>>> = {
  good: ['dashboards:read'],
};

export function expect(route: MatrixRoute, presented: Presented): Expectation {
  const { token, certificate, key } = presented;
  const hasToken = token !== 'no';
  const hasKey = key !== 'no';
  const hasCertificate = certificate !== 'no';
  const present = (['certificate', 'token', 'key'] as const).filter(
    (kind) => ({ certificate: hasCertificate, token: hasToken, key: hasKey })[kind],
  );
  const seen = (standing: (kind: Kind) => Listed[1]): Listed[] => present.map((kind) => [kind, standing(kind)]);

  if (route.alternatives === undefined) return { status: 200, credentials: [] };

  // (1) A token together with a key is refused before either is looked at.
  if (hasToken && hasKey) return { status: 400, code: 'ambiguous_credentials', credentials: seen(() => 'unknown') };

  // (2) A token of an issuer that nobody knows has no owner.
  if (token === 'wrong-issuer') return { status: 401, code: 'invalid_token', credentials: seen(() => 'unknown') };

  // (3) Everything that is presented must verify, certificates first.
  if (certificate === 'other-authority') {
    return { status: 401, code: 'invalid_certificate', credentials: seen(() => 'unknown') };
  }
  if (certificate === 'unlisted') {
    const credentials = seen((kind) => (kind === 'certificate' ? 'identified' : 'unknown'));
    const principal = hasToken || hasKey ? undefined : 'certificate';
    return { status: 401, code: 'invalid_certificate', credentials, principal };
  }
  const acting: Kind = hasToken ? 'token' : hasKey ? 'key' : 'certificate';
  const credentials = seen(() => 'held');
  const known = { credentials, principal: present.length === 0 ? undefined : acting };
  if (token === 'expired' || token === 'wrong-audience') return { status: 401, code: 'invalid_token', ...known };
  if (key === 'expired') return { status: 401, code: 'invalid_api_key', ...known };

  // (4) What verifies must be what the route names; a certificate may be idle.
  const named = [...route.alternatives.flat(), ...(route.optional ?? [])];
  if (hasToken && !named.includes('token')) return { status: 401, code: 'invalid_token', ...known };
  if (hasKey && !named.includes('key')) return { status: 401, code: 'invalid_api_key', ...known };

  // (5) One alternative must be there as a whole.
  const satisfied = route.alternatives.some((members) => members.every((kind) => present.includes(kind)));
  if (!satisfied) return { status: 401, code: 'credentials_required', ...known };

  // (6) A certificate beside a token or key must be the same client's, and some clients need one.
  if (acting !== 'certificate') {
    const { clientId } = clients[acting];
    if (hasCertificate && clients.certificate[certificate] !== clientId) {
      return { status: 403, code: 'denied', ...known };
    }
    if (!hasCertificate && route.certificateFor === clientId) {
      return { status: 401, code: 'credentials_required', ...known };
    }
  }

  const grants = [
    hasToken ? tokenScopes[token] : undefined,
    hasKey ? keyScopes : undefined,
    hasCertificate ? certificateScopes[certificate] : undefined,
  ].filter((scopes) => scopes !== undefined);
  const granted = (grants[0] ?? []).filter((scope) => grants.every((scopes) => scopes.includes(scope)));
  const verified = { ...known, granted };
  return granted.includes(neededScope)
    ? { status: 200, ...verified }
    : { status: 403, code: 'insufficient_scope', ...verified };
}

/** The challenge, to the byte; undefined where none belongs. */
export function challengeOf(route: MatrixRoute, { status, code }: Expectation): string | undefined {
  if (status !== 401 && code !== 'insufficient_scope') return undefined;
  const resource = `https://mcp.example.com/${route.name}`;
  const acceptsTokens = [...(route.alternatives ?? []).flat(), ...(route.optional ?? [])].includes('token');
  const where = acceptsTokens
    ? `resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/${route.name}"`
    : `realm="${resource}"`;
  const error =
    code === 'credentials_required'
      ? []
      : [`error="${code === 'insufficient_scope' ? 'insufficient_scope' : 'invalid_token'}"`];
  const bearer = `Bearer ${[...error, `scope="${neededScope}"`, where].join(', ')}`;
  return acceptsTokens && status === 401 ? `${bearer}, ${dpopChallenge}` : bearer;
}

/** The routes as sections of the configuration. */
export const routeSections = routes.map(({ name, authenticate, certificateFor }) => ({
  name,
  path: `/${name}`,
  authenticate,
  ...(certificateFor !== undefined && { certificateFor: [certificateFor] }),
  ...(authenticate !== 'none' && { scopes: [neededScope] }),
}));

/** The allowlist of certificates. */
export const allowedCertificates = [
  { commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] },
  { commonName: 'client-reporting-1', clientId: 'reporting_tool' },
];

/** The certificate of each state. */
export const certificatesByState = ({ agent, otherAuthority, reporting, unlisted }: TestCertificates) =>
  ({
    no: undefined,
    good: agent,
    'other-client': reporting,
    unlisted,
    'other-authority': otherAuthority,
  }) as const satisfies Record<CertificateState, unknown>;
