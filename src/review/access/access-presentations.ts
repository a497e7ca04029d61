// Presentations of credentials: every way in which a caller of an access review can come to a route, built as the gateway builds callers.
import type { KeyAuthenticator, TokenAuthenticator, Verified } from '../../authn/authenticator.ts';
import { buildCaller } from '../../authn/caller/caller.ts';
import { noEntries } from '../../authn/caller/revocations.ts';
import type { Requirements } from '../../authn/requirements.ts';
import { GatewayError } from '../../errors.ts';
import { rangeBits } from '../../ip-ranges.ts';
import { type Clause, isFalse, isTrue, type Variable } from '../../policy/access/access-formula.ts';
import { networkVariable, twoValued } from '../../policy/access/access-variables.ts';
import type { OpenCaller } from '../../policy/access/open-call.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { CallerClass } from './access-callers.ts';
import { certificatesOf, certificateVariable, kindsOf, type NamedCertificate } from './access-certificates.ts';

/** The presentations of a caller at an instant. */
export interface Presentations {
  /** Every way in which it can come to the route; none where it is refused. */
  readonly openCallers: readonly OpenCaller[];
  /** Public: the reason of a refusal that no policy cures, such as `expired`. */
  readonly refused: string | undefined;
}

/** A route as its callers see it. */
export interface CallerRoute {
  readonly requirements: Requirements;
  readonly resource: string;
}

/**
 * The ways in which a caller can come to a route, each built as the gateway builds it: alone, with a certificate of its client, with a token that is bound
 * to its sender. `scopes` are all scopes that matter.
 */
export function presentationsOf(
  caller: CallerClass,
  route: CallerRoute,
  policyFile: PolicyFile,
  { now, scopes }: { readonly now: number; readonly scopes: readonly string[] },
): Presentations {
  const { requirements } = route;
  if (requirements.kind === 'none') return { openCallers: [nobody], refused: undefined };
  const { byName, clientTrust } = policyFile.snapshot.authenticators;
  const authenticator = byName.get(caller.authenticator);
  if (authenticator === undefined || caller.kind === 'anyone') return { openCallers: [], refused: undefined };
  const certificates = clientTrust === undefined ? [] : certificatesOf(policyFile, requirements);
  const isRevoked = ({ principal }: Verified): boolean => policyFile.revocations.ofPrincipal(principal) !== undefined;
  const isCertificateRequired = policyFile.loaded.config.server.tls?.clientCertificates === 'required';
  if (authenticator.accepts === 'client-certificate') {
    const found = certificates.find(
      ({ authenticator: name, identity }) =>
        name === caller.authenticator && caller.kind === 'certificate' && identity === caller.name,
    );
    if (found === undefined) return { openCallers: [], refused: undefined };
    if (isRevoked(found.certificate.verified!)) return { openCallers: [], refused: 'revoked' };
    return { openCallers: combine(requirements, undefined, found, fixed), refused: undefined };
  }
  const stated =
    authenticator.accepts === 'api-key'
      ? keyNamed(caller, authenticator, policyFile, route, now)
      : tokensOf(caller, authenticator, policyFile, { now, scopes });
  if (typeof stated === 'string') return { openCallers: [], refused: stated };
  const openCallers = stated.flatMap(({ verified, facts }) => {
    if (isRevoked(verified)) return [];
    const { clientId } = verified.principal;
    const beside = certificates.filter(({ certificate }) => {
      const { principal } = certificate.verified!;
      return principal.clientId === clientId && !isRevoked(certificate.verified!);
    });
    const alone = isCertificateRequired && requirements.certificates.length > 0 ? [] : [undefined];
    const kinds = kindsOf(beside);
    const variable = certificateVariable(kinds);
    return [...alone, ...kinds].flatMap((kind) => {
      const mask = kind === undefined ? 1 : 2 << kinds.indexOf(kind);
      const clauses = kinds.length === 0 ? facts.clauses : [...facts.clauses, [{ variable, mask }]];
      return combine(requirements, verified, kind?.certificates[0], { ...facts, clauses });
    });
  });
  const allRevoked = stated.length > 0 && stated.every(({ verified }) => isRevoked(verified));
  return { openCallers, refused: allRevoked ? 'revoked' : undefined };
}

type Facts = Omit<OpenCaller, 'caller'>;

const nothingOpen: ReadonlySet<string> = new Set();
const fixed: Facts = { hasFixedScopes: true, openClaims: [], openFields: nothingOpen, clauses: [] };
const nobody: OpenCaller = { ...fixed, caller: undefined };

/** None where the route does not take these credentials together. */
function combine(
  requirements: Requirements,
  tokenOrKey: Verified | undefined,
  certificate: NamedCertificate | undefined,
  facts: Facts,
): OpenCaller[] {
  try {
    return [{ ...facts, caller: buildCaller(requirements, tokenOrKey, certificate?.certificate) }];
  } catch (error) {
    if (error instanceof GatewayError) return [];
    throw error;
  }
}

interface Stated {
  readonly verified: Verified;
  readonly facts: Facts;
}

/** The key, or why it is refused. */
function keyNamed(
  caller: CallerClass,
  authenticator: KeyAuthenticator,
  { loaded }: PolicyFile,
  { resource }: CallerRoute,
  now: number,
): readonly Stated[] | string {
  const section = loaded.config.authenticators[caller.authenticator];
  const entry =
    section?.type === 'apiKey' && caller.kind === 'key'
      ? section.keys?.find(({ id }) => id === caller.name)
      : undefined;
  if (entry === undefined) return [];
  const [range = '127.0.0.1'] = entry.networks ?? [];
  const verified = authenticator.reverify(
    { credentialId: entry.id },
    { now, clientAddress: range.split('/')[0]!, resource },
  );
  if (!verified.verified) return verified.reason;
  const { expiresAt } = verified.principal;
  const clauses: Clause[] = [];
  if (entry.networks !== undefined)
    clauses.push([{ variable: networkVariable(entry.networks.map(rangeBits), entry.networks), mask: isTrue }]);
  if (expiresAt !== undefined) clauses.push([{ variable: untilVariable(expiresAt), mask: isTrue }]);
  return [{ verified, facts: { ...fixed, clauses } }];
}

/** A client id that no rule names. */
const otherClient = 'any other client';

/** A bearer token, and one that is bound to its sender. */
function tokensOf(
  caller: CallerClass,
  authenticator: TokenAuthenticator,
  { loaded }: PolicyFile,
  { now, scopes }: { readonly now: number; readonly scopes: readonly string[] },
): readonly Stated[] | string {
  const { issuedBefore = now } = loaded.revocations?.list?.entries ?? noEntries;
  if (issuedBefore > now) return `every token issued before ${instantText(issuedBefore)}`;
  const section = loaded.config.authenticators[caller.authenticator];
  const mapped = section !== undefined && 'claims' in section ? Object.keys(section.claims) : [];
  const isClient = caller.kind === 'client';
  const known = caller.kind === 'claim' ? [caller.claim] : [];
  const openFields = [
    'principal.subject',
    'principal.scopes',
    ...(mapped.length > 0 ? ['principal.claims'] : []),
    ...(isClient ? [] : ['principal.clientId']),
  ];
  return [isFalse, isTrue].flatMap((mask) => {
    const verified = authenticator.assume({
      clientId: isClient ? caller.name : otherClient,
      subject: '',
      scopes,
      claims: caller.kind === 'claim' ? { [caller.claim]: caller.value } : {},
      confirmation: mask === isTrue ? { method: 'dpop', thumbprint: '' } : undefined,
      credentialId: undefined,
      issuedAt: Number.MAX_SAFE_INTEGER,
    });
    if (!verified.verified) return [];
    const facts: Facts = {
      hasFixedScopes: false,
      openClaims: mapped.filter((claim) => !known.includes(claim)),
      openFields: new Set(openFields),
      clauses: [[{ variable: boundVariable, mask }]],
    };
    return [{ verified, facts }];
  });
}

const boundVariable: Variable = twoValued(
  'bound',
  'with a token that is bound to its sender',
  'with a token that is not bound to its sender',
);

function untilVariable(instant: number): Variable {
  const text = instantText(instant);
  const variable = { ...twoValued(`until ${instant}`, `until ${text}`, `from ${text} on`), instant };
  return {
    ...variable,
    relationTo: (other) =>
      instant <= ((other as Partial<typeof variable>).instant ?? Number.NEGATIVE_INFINITY) ? 'within' : undefined,
  };
}

function instantText(instant: number): string {
  return new Date(instant).toISOString().replace('T00:00:00.000Z', '');
}
