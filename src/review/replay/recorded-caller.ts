// Callers of audit records under another configuration: their credentials are taken to be genuine, as they were then.
import type { AuditRecord } from '../../audit/reading/record.ts';
import type { TokenAuthenticator, Verification, Verified } from '../../authn/authenticator.ts';
import { buildCaller } from '../../authn/caller/caller.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import { type ClientCertificate, identifyBy } from '../../authn/certificate/identify.ts';
import type { CertificateNames } from '../../authn/certificate/identity.ts';
import { credentialRefused } from '../../authn/errors.ts';
import type { Confirmation } from '../../authn/token/binding/confirmation.ts';
import type { Route } from '../../gateway/route.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { Doubt } from './doubt.ts';

/** A request that is replayed. */
export interface RecordedRequest {
  readonly record: AuditRecord;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** `none`: it came without any. `unverified`: they are not known to be all, or to be good. */
  readonly credentials: 'verified' | 'unverified' | 'none';
  /** A token's binding to its sender makes a difference on the route. */
  readonly needsBinding: boolean;
}

type RecordedPrincipal = NonNullable<AuditRecord['principal']>;

/**
 * The caller of a record on a route of the new policy; undefined where the route looks at no credential. The scopes of a token are those that were
 * granted then, within the caps of the new file. Throws the GatewayError of a credential that the new file refuses.
 */
export function recordedCaller(
  request: RecordedRequest,
  { requirements, resource }: Pick<Route, 'requirements' | 'resource'>,
  policyFile: PolicyFile,
  doubt: Doubt,
): Caller | undefined {
  if (requirements.kind === 'none') return undefined;
  const { snapshot } = policyFile;
  const { record, time } = request;
  const { credentials = [], principal } = record;
  const certificate = credentials.find(({ kind }) => kind === 'client-certificate');
  if (
    request.credentials !== 'unverified' &&
    certificate === undefined &&
    snapshot.config.server.tls?.clientCertificates === 'required'
  )
    throw credentialRefused('client-certificate', 'untrusted');
  if (request.credentials === 'none') return buildCaller(requirements, undefined, undefined);
  if (request.credentials === 'unverified' || principal === undefined) return doubt.lacks('credentials');
  if (Object.keys(principal).some((name) => name.endsWith('Digest'))) return doubt.lacks('cut');
  const clientCertificate =
    certificate && recordedCertificate(certificate, principal, requirements.certificates, policyFile, doubt);
  checkRevoked(clientCertificate?.verified, policyFile);
  if (principal.kind === 'mtls') return buildCaller(requirements, undefined, clientCertificate);
  const context = {
    now: Number.isNaN(time) ? doubt.lacks('time') : time,
    clientAddress: record.client?.address ?? doubt.lacks('address'),
    resource,
  };
  const verification =
    principal.kind === 'api-key'
      ? recordedKey(principal, policyFile, context)
      : recordedToken(request, principal, context, policyFile, doubt);
  if (!verification.verified)
    throw credentialRefused(principal.kind === 'api-key' ? 'api-key' : 'access-token', verification.reason);
  checkRevoked(verification, policyFile);
  return buildCaller(requirements, verification, clientCertificate);
}

function checkRevoked(verified: Verified | undefined, { revocations }: PolicyFile): void {
  const revokedBy = verified && revocations.ofPrincipal(verified.principal);
  if (revokedBy !== undefined) throw credentialRefused('access-token', 'revoked', revokedBy);
}

interface Context {
  readonly now: number;
  readonly clientAddress: string;
  readonly resource: string;
}

/** By its id, at the time of the request. */
function recordedKey(
  { credentialId, issuer }: RecordedPrincipal,
  { snapshot }: PolicyFile,
  context: Context,
): Verification {
  const authenticator = snapshot.authenticators.byName.get(issuer ?? '');
  if (authenticator?.accepts !== 'api-key') return { verified: false, reason: 'unknown' };
  return authenticator.reverify({ credentialId }, context);
}

function recordedToken(
  { needsBinding, record }: RecordedRequest,
  principal: RecordedPrincipal,
  { now }: Context,
  policyFile: PolicyFile,
  doubt: Doubt,
): Verification {
  const { loaded, snapshot } = policyFile;
  const { credentials = [], scopes } = record;
  const token = credentials.find(({ kind }) => kind === 'access-token' || kind === 'dpop-token');
  const { clientId, credentialId, issuer, subject } = principal;
  if (token === undefined || subject === undefined) return doubt.lacks('credentials');
  if (scopes === undefined || Object.hasOwn(scopes, 'grantedDigest')) return doubt.lacks('scopes');
  const ofIssuer = [...snapshot.authenticators.byName.values()].filter(
    (each): each is TokenAuthenticator => each.accepts === 'access-token' && each.issuer === issuer,
  );
  const authenticator = ofIssuer.find(({ name }) => name === token.authenticator) ?? ofIssuer[0];
  if (authenticator === undefined) return { verified: false, reason: 'issuer' };
  if (ofIssuer.length > 1 && authenticator.name !== token.authenticator) return doubt.lacks('authenticator');
  const isProof = token.kind === 'dpop-token';
  if (isProof && authenticator.proofs === undefined) return { verified: false, reason: 'sender_constraint' };
  const mayBeBound = needsBinding && credentials.some(({ kind }) => kind === 'client-certificate');
  const confirmation = isProof ? byKey : mayBeBound && doubt.choose(2, 'binding') === 0 ? byCertificate : undefined;
  return authenticator.assume({
    clientId,
    claims: recordedClaims(principal, loaded.config.authenticators[authenticator.name]!, doubt),
    confirmation,
    credentialId,
    issuedAt: issuedAt(now, policyFile, doubt),
    scopes: scopes.granted,
    subject,
  });
}

/** The values of these are never compared: the sender was verified then. */
const byKey: Confirmation = { method: 'dpop', thumbprint: 'recorded' };
const byCertificate: Confirmation = { method: 'certificate', fingerprint: 'recorded' };

/** Before the request, and possibly before an instant of the revocation list. */
function issuedAt(now: number, { loaded }: PolicyFile, doubt: Doubt): number | undefined {
  const before = loaded.revocations?.list?.entries.issuedBefore;
  if (before === undefined || now < before) return now;
  return doubt.choose(2, 'time of issue') === 0 ? now : undefined;
}

/** Records hold no claim but `tenant`. The others that the new file maps end the test that reads them. */
function recordedClaims(
  { tenant }: RecordedPrincipal,
  config: object,
  doubt: Doubt,
): Readonly<Record<string, unknown>> {
  const known = tenant === undefined ? {} : { tenant };
  const { claims = {} } = config as { readonly claims?: Readonly<Record<string, unknown>> };
  const unknown = new Set(Object.keys(claims).filter((name) => !Object.hasOwn(known, name)));
  if (unknown.size === 0) return known;
  const isUnknown = (name: string | symbol): boolean => typeof name === 'string' && unknown.has(name);
  return new Proxy<Record<string, unknown>>(known, {
    get: (target, name) => (isUnknown(name) ? doubt.lacks('claims') : Reflect.get(target, name)),
    has: (target, name) => (isUnknown(name) ? doubt.lacks('claims') : Reflect.has(target, name)),
    getOwnPropertyDescriptor: (target, name) =>
      isUnknown(name) ? doubt.lacks('claims') : Reflect.getOwnPropertyDescriptor(target, name),
    ownKeys: () => doubt.lacks('claims'),
  });
}

/**
 * A certificate by its fingerprint, and by the identity that matched where it acts itself. One beside a token or key is the same client's: by an
 * entry of the client.
 */
function recordedCertificate(
  { authenticator: name, id: fingerprint }: NonNullable<AuditRecord['credentials']>[number],
  { clientId, kind, subject }: RecordedPrincipal,
  certificates: Route['requirements']['certificates'],
  { loaded }: PolicyFile,
  doubt: Doubt,
): ClientCertificate {
  if (fingerprint === undefined) return doubt.lacks('certificate');
  if (certificates.length === 0) return { fingerprint, until: undefined, verified: undefined };
  const own = certificates.find((each) => each.name === name);
  const config = name === undefined ? undefined : loaded.config.authenticators[name];
  if (own === undefined || config?.type !== 'mtls') return doubt.lacks('certificate');
  const names = { commonNames: [], dnsNames: [], uris: [], fingerprint };
  const entries = config.allow.filter((each) => each.clientId === clientId);
  const entry = entries[kind !== 'mtls' && entries.length > 1 ? doubt.choose(entries.length, 'certificate') : 0];
  const tried: CertificateNames[] =
    kind === 'mtls'
      ? [{ ...names, commonNames: listOf(subject), dnsNames: listOf(subject), uris: listOf(subject) }]
      : [
          names,
          ...(entry === undefined
            ? []
            : [
                {
                  ...names,
                  commonNames: listOf(entry.commonName),
                  dnsNames: listOf(entry.dnsName),
                  uris: listOf(entry.uri),
                },
              ]),
        ];
  for (const each of tried) {
    const identified = identifyBy((authenticator) => authenticator.assume(each), [own]);
    if (!('refused' in identified)) return identified;
  }
  if (kind === 'mtls') throw credentialRefused('client-certificate', 'identity');
  return doubt.lacks('certificate');
}

function listOf(name: string | undefined): string[] {
  return name === undefined ? [] : [name];
}
