// Callers of request forms: the credentials that a form states, verified by everything but their secret.
import type { Verification, VerificationContext } from '../authn/authenticator.ts';
import { buildCaller } from '../authn/caller/caller.ts';
import type { Caller } from '../authn/caller/principal.ts';
import { type ClientCertificate, identifyBy, type RefusedCertificate } from '../authn/certificate/identify.ts';
import type { CertificateNames } from '../authn/certificate/identity.ts';
import type { CredentialRecord } from '../authn/credential.ts';
import { credentialRefused } from '../authn/errors.ts';
import { hasBoundCertificate } from '../authn/token/binding/sender-constraint.ts';
import { suggestion } from '../config/schema/suggestion.ts';
import type { Route } from '../gateway/route.ts';
import type { PolicyFile } from './policy-file.ts';
import type { CallerForm, FormProblem } from './request-form.ts';
import { entriesOf, madeUp, namesOf, type Wrong } from './stated-certificate.ts';

type Stated = Exclude<CallerForm, 'none'>;

/** The credentials that a form states. */
export interface StatedCredentials {
  readonly certificate: CertificateNames | undefined;
  readonly tokenOrKey: StatedTokenOrKey | undefined;
}

type StatedTokenOrKey =
  | { readonly kind: 'api-key'; readonly authenticator: string; readonly id: string }
  | { readonly kind: 'access-token'; readonly authenticator: string; readonly form: Stated };

const ofTokens = ['client', 'subject', 'scopes', 'claims', 'senderConstrained'] as const;

/** The credentials of a form on a route; undefined, with its problems reported, where the policy file does not have them. */
export function resolveCaller(
  given: CallerForm,
  route: Route | undefined,
  policyFile: PolicyFile,
  report: (problem: FormProblem) => void,
): StatedCredentials | undefined {
  const wrong: Wrong = (message, ...path) => void report({ path: ['as', ...path], message });
  if (given === 'none') return { certificate: undefined, tokenOrKey: undefined };
  // `senderConstrained: false` says nothing.
  const form: Stated = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== false),
  );
  if (form.none) {
    if (Object.keys(form).length > 1) return wrong('goes with nothing beside it', 'none');
    return { certificate: undefined, tokenOrKey: undefined };
  }
  if (Object.keys(form).length === 0) return wrong('names no caller; give client, key or certificate, or say none');
  const { authenticators } = policyFile.loaded.config;
  if (form.authenticator !== undefined && !Object.hasOwn(authenticators, form.authenticator)) {
    const names = Object.keys(authenticators);
    return wrong(
      `unknown authenticator "${form.authenticator}"${suggestion(form.authenticator, names)}; there are ${names.join(', ')}`,
      'authenticator',
    );
  }
  const certificate = form.certificate === undefined ? undefined : namesOf(form.certificate, policyFile, wrong);
  if (form.certificate !== undefined && certificate === undefined) return undefined;
  return credentialsOf(withCredential(form, route, policyFile), certificate, route, policyFile, wrong);
}

/** A client alone shows its key or certificate on a route that takes no tokens and has one of this client. */
function withCredential(form: Stated, route: Route | undefined, { loaded }: PolicyFile): Stated {
  const { client } = form;
  if (Object.keys(form).join() !== 'client') return form;
  const { authenticators } = loaded.config;
  const named = [...(route?.requirements.named ?? [])].map((name) => ({ name, section: authenticators[name]! }));
  if (named.some(({ section }) => 'issuer' in section)) return form;
  const fitting = named.find(({ section }) => {
    const entries = section.type === 'apiKey' ? section.keys : section.type === 'mtls' ? section.allow : undefined;
    return entries?.some(({ clientId }: { readonly clientId: string }) => clientId === client);
  });
  return fitting === undefined ? form : { ...form, authenticator: fitting.name };
}

function credentialsOf(
  form: Stated,
  certificate: CertificateNames | undefined,
  route: Route | undefined,
  policyFile: PolicyFile,
  wrong: Wrong,
): StatedCredentials | undefined {
  const { authenticators } = policyFile.loaded.config;
  const chosen = form.authenticator === undefined ? undefined : authenticators[form.authenticator];
  const ofToken = ofTokens.filter((name) => form[name] !== undefined);
  if (chosen?.type === 'mtls') return certificateOf(form, certificate, policyFile, wrong);
  if (form.key !== undefined || chosen?.type === 'apiKey') {
    const tokenOrKey = keyOf(form, policyFile, wrong);
    return tokenOrKey && { certificate, tokenOrKey };
  }
  if (chosen === undefined && ofToken.length === 0) return { certificate, tokenOrKey: undefined };
  if (form.client === undefined && form.subject === undefined) return wrong('a token needs client or subject');
  checkNames(form, policyFile, wrong);
  const authenticator = form.authenticator ?? tokenAuthenticator(route, policyFile);
  if (authenticator === undefined) return wrong('there is no authenticator of access tokens; give key or certificate');
  const { claims: mapped = {} } = authenticators[authenticator] as { claims?: Record<string, unknown> };
  const unknown = Object.keys(form.claims ?? {}).filter((name) => !Object.hasOwn(mapped, name));
  for (const name of unknown) {
    const names = Object.keys(mapped);
    const known = names.length === 0 ? 'none' : names.join(', ');
    wrong(`"${authenticator}" maps no claim "${name}"${suggestion(name, names)}; it maps ${known}`, 'claims', name);
  }
  return unknown.length > 0 ? undefined : { certificate, tokenOrKey: { kind: 'access-token', authenticator, form } };
}

/** Reports names that would make a denial pass for another reason than the one that is tested. */
function checkNames({ authenticator, client, scopes = [] }: Stated, { loaded }: PolicyFile, wrong: Wrong): void {
  const [name, ...rest] = client?.split('/') ?? [];
  if (authenticator === undefined && rest.length > 0 && Object.hasOwn(loaded.config.authenticators, name!))
    wrong(`is qualified: give client: ${rest.join('/')} and authenticator: ${name}`, 'client');
  const vocabulary = loaded.config.scopes ?? {};
  for (const [index, scope] of scopes.entries()) {
    if (Object.hasOwn(vocabulary, scope)) continue;
    const near = suggestion(scope, Object.keys(vocabulary));
    if (near !== '') wrong(`"${scope}" is not in the vocabulary of scopes${near}`, 'scopes', index);
  }
}

/** The first that the route names, or else the first at all: its tokens are refused on the route. */
function tokenAuthenticator(route: Route | undefined, { snapshot }: PolicyFile): string | undefined {
  const all = [...snapshot.authenticators.byName.values()].filter(({ accepts }) => accepts === 'access-token');
  const onRoute = [...(route?.requirements.named ?? [])].find((name) => all.some((each) => each.name === name));
  return onRoute ?? all[0]?.name;
}

function keyOf(form: Stated, { loaded }: PolicyFile, wrong: Wrong): StatedTokenOrKey | undefined {
  const keys = Object.entries(loaded.config.authenticators).flatMap(([authenticator, config]) =>
    config.type !== 'apiKey' || (form.authenticator ?? authenticator) !== authenticator
      ? []
      : (config.keys ?? []).map(({ id, clientId }) => ({ authenticator, id, clientId })),
  );
  const others = ofTokens.filter((name) => form[name] !== undefined && (name !== 'client' || form.key !== undefined));
  if (others.length > 0) return wrong('is of the configured key: leave it out beside a key', others[0]!);
  const { client, key = keys.find(({ clientId }) => clientId === client)?.id } = form;
  const ids = keys.map(({ id }) => id);
  const known = ids.length === 0 ? 'there are no keys' : `there are ${ids.join(', ')}`;
  if (key === undefined) return wrong(`no key of client "${client ?? ''}"; ${known}`, 'authenticator');
  const found = keys.find(({ id }) => id === key);
  if (found === undefined) return wrong(`unknown key "${key}"${suggestion(key, ids)}; ${known}`, 'key');
  return { kind: 'api-key', authenticator: found.authenticator, id: found.id };
}

/** A certificate alone: the one that is named, or the client's first on the allowlist. */
function certificateOf(
  form: Stated,
  certificate: CertificateNames | undefined,
  policyFile: PolicyFile,
  wrong: Wrong,
): StatedCredentials | undefined {
  for (const name of ['key', 'subject', 'scopes', 'claims', 'senderConstrained'] as const)
    if (form[name] !== undefined) return wrong('does not go with an authenticator of certificates', name);
  const ofClient = entriesOf(policyFile, form.authenticator).find(({ clientId }) => clientId === form.client);
  if (certificate !== undefined && form.client !== undefined)
    return wrong('is named by the certificate: leave it out', 'client');
  const names = certificate ?? (ofClient && namesOf(ofClient.identity, policyFile, wrong));
  if (names === undefined)
    return wrong(`"${form.authenticator}" has no entry of client "${form.client ?? ''}"`, 'client');
  return { certificate: names, tokenOrKey: undefined };
}

/**
 * Authenticates stated credentials on a route, in the order of `authenticate`. Throws the GatewayError that the same credentials are refused with.
 * `seen` takes what the challenge depends on.
 */
export function authenticateStated(
  { certificate, tokenOrKey }: StatedCredentials,
  { requirements }: Route,
  policyFile: PolicyFile,
  context: VerificationContext,
  seen: CredentialRecord[],
): Caller | undefined {
  const { revocations, snapshot } = policyFile;
  // Such a connection ends in its handshake, whatever is asked.
  if (certificate === undefined && snapshot.config.server.tls?.clientCertificates === 'required')
    throw credentialRefused('client-certificate', 'untrusted');
  if (requirements.kind === 'none') return undefined;
  const clientCertificate = certificate && identifyStated(certificate, requirements.certificates);
  const record: CredentialRecord = {
    kind: 'access-token',
    authenticator: undefined,
    id: undefined,
    principal: undefined,
  };
  if (certificate !== undefined) seen.push({ ...record, kind: 'client-certificate' });
  if (tokenOrKey !== undefined) seen.push({ ...record, kind: tokenOrKey.kind });
  if (clientCertificate !== undefined) {
    const verified = 'refused' in clientCertificate ? undefined : clientCertificate.verified;
    const revokedBy = verified && revocations.ofPrincipal(verified.principal);
    if (seen[0] !== undefined) seen[0].authenticator = verified?.principal.authenticator;
    if (revokedBy !== undefined) throw credentialRefused('client-certificate', 'revoked', revokedBy);
    if ('refused' in clientCertificate) throw credentialRefused('client-certificate', clientCertificate.refused);
  }
  if (tokenOrKey === undefined) return buildCaller(requirements, undefined, clientCertificate);
  seen.at(-1)!.authenticator = tokenOrKey.authenticator;
  const verification = verifyStated(tokenOrKey, clientCertificate?.fingerprint, policyFile, context);
  if (!verification.verified) throw credentialRefused(tokenOrKey.kind, verification.reason);
  const revokedBy = revocations.ofPrincipal(verification.principal);
  if (revokedBy !== undefined) throw credentialRefused(tokenOrKey.kind, 'revoked', revokedBy);
  return buildCaller(requirements, verification, clientCertificate);
}

function identifyStated(
  names: CertificateNames,
  certificates: Route['requirements']['certificates'],
): ClientCertificate | RefusedCertificate {
  if (certificates.length === 0) return { fingerprint: names.fingerprint, until: undefined, verified: undefined };
  return identifyBy((each) => each.assume(names), certificates);
}

function verifyStated(
  stated: StatedTokenOrKey,
  certificate: string | undefined,
  { snapshot }: PolicyFile,
  context: VerificationContext,
): Verification {
  const { byName, proofs } = snapshot.authenticators;
  const authenticator = byName.get(stated.authenticator);
  if (stated.kind === 'api-key' && authenticator?.accepts === 'api-key')
    return authenticator.reverify({ credentialId: stated.id }, context);
  if (stated.kind !== 'access-token' || authenticator?.accepts !== 'access-token')
    throw new Error(`"${stated.authenticator}" verifies no such credential`);
  const { client: clientId, claims = {}, scopes = [], subject = clientId!, senderConstrained } = stated.form;
  const binding =
    certificate === undefined
      ? ({ method: 'dpop', thumbprint: madeUp } as const)
      : ({ method: 'certificate', fingerprint: certificate } as const);
  const confirmation = senderConstrained ? binding : undefined;
  const token = { clientId, claims, scopes, subject, confirmation, credentialId: undefined, issuedAt: context.now };
  const verification = authenticator.assume(token);
  const isProven = confirmation?.method !== 'dpop' || proofs.has(stated.authenticator);
  if (!verification.verified || (isProven && hasBoundCertificate(verification.principal, certificate)))
    return verification;
  return { verified: false, reason: 'sender_constraint' };
}
