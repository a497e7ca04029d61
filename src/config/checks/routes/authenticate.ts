// Checks of a route's `authenticate` and `certificateFor`: names that exist, alternatives that can be told apart and met.

import {
  type Alternative,
  type Alternatives,
  alternativesOf,
  type NamedAuthenticator,
  namedBy,
} from '../../../authn/alternatives.ts';
import { clientAuthorities } from '../../../authn/certificate/source.ts';
import { parseClientEntry } from '../../../policy/selectors/clients.ts';
import type { AuthenticatorConfig, RouteConfig } from '../../schema/config.ts';
import type { Path } from '../../schema/reporter.ts';
import { suggestion } from '../../schema/suggestion.ts';
import type { CheckContext } from '../context.ts';

/** Checks `authenticate`, `senderConstraint` and `certificateFor` of a route. */
export function checkAuthenticate(context: CheckContext, route: RouteConfig, base: Path): void {
  const path: Path = [...base, 'authenticate'];
  const alternatives = alternativesOf(route.authenticate, path);
  checkNames(context, namedBy(alternatives), asksForNoCertificate(context) && 'server.tls.clientCertificates is off');
  if (!hasOneForm(route)) {
    context.error(path, 'needs either anyOf or allOf');
    return;
  }
  checkAlternatives(context, alternatives);
  checkOptional(context, alternatives);
  if (route.senderConstraint === 'required') checkSenderConstraint(context, alternatives, base);
  if (route.certificateFor !== undefined) checkCertificateFor(context, route.certificateFor, alternatives, base);
}

/** Checks that the alternatives can be told apart and met. */
export function checkAlternatives(context: CheckContext, alternatives: Alternatives): void {
  alternatives.required.forEach((alternative, index) => {
    checkTogether(context, alternative);
    checkContained(context, alternative, alternatives.required.slice(0, index));
  });
  checkOpaqueOwner(context, alternatives);
}

/** The configuration of an authenticator that exists and could be read. */
export function authenticatorNamed(context: CheckContext, name: string): AuthenticatorConfig | undefined {
  const all = context.draft.authenticators ?? {};
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

function hasOneForm({ authenticate }: RouteConfig): boolean {
  return typeof authenticate === 'string' || (authenticate.anyOf === undefined) !== (authenticate.allOf === undefined);
}

/** Checks that the authenticators exist. `noCertificates` says why the listener asks for none; false where it does. */
export function checkNames(
  context: CheckContext,
  named: readonly NamedAuthenticator[],
  noCertificates: string | false,
): void {
  for (const { name, path } of named) {
    if (!context.declared.authenticators.includes(name)) {
      context.error(
        path,
        `unknown authenticator ${context.show(name)}${suggestion(name, context.declared.authenticators)}`,
      );
    } else if (authenticatorNamed(context, name)?.type === 'mtls' && noCertificates !== false) {
      context.error(path, `${context.show(name)} verifies client certificates, but ${noCertificates}`);
    }
  }
}

function asksForNoCertificate(context: CheckContext): boolean {
  const { server } = context.draft;
  return server !== undefined && clientAuthorities(server) === undefined;
}

/** One request carries one certificate, and one token or key. */
function checkTogether(context: CheckContext, { members, path }: Alternative): void {
  const types = members.map(({ name }) => authenticatorNamed(context, name)?.type);
  if (new Set(members.map(({ name }) => name)).size < members.length) {
    context.error(path, 'names an authenticator twice');
  } else if (types.filter((type) => type === 'mtls').length > 1) {
    context.error(path, 'can never be met: a request carries one certificate');
  } else if (types.filter((type) => type !== undefined && type !== 'mtls').length > 1) {
    context.error(path, 'can never be met: a request carries one token or key');
  }
}

/** The first alternative that is all there counts, so a wider one would make a narrower one a matter of order. */
function checkContained(context: CheckContext, alternative: Alternative, earlier: readonly Alternative[]): void {
  for (const other of earlier) {
    const contains = other.members.every(({ name }) => isMember(name, alternative));
    const contained = alternative.members.every(({ name }) => isMember(name, other));
    const position = `anyOf[${other.path.at(-1)}]`;
    if (contains && contained) context.error(alternative.path, `is the same as ${position}`);
    else if (contains) context.error(alternative.path, `contains ${position}; ${advice}`);
    else if (contained) context.error(alternative.path, `is contained in ${position}; ${advice}`);
  }
}

function isMember(name: string, { members }: Alternative): boolean {
  return members.some((member) => member.name === name);
}

const advice = 'use optional, certificateFor or a rule with authenticatedBy';

function checkOptional(context: CheckContext, { required, optional }: Alternatives): void {
  const seen = new Set<string>();
  for (const { name, path } of optional) {
    if (seen.has(name)) context.error(path, 'names an authenticator twice');
    seen.add(name);
    if (required.some(({ members }) => members.length === 1 && members[0]?.name === name)) {
      context.error(path, `${context.show(name)} is an alternative already`);
    }
  }
}

/** A key is of use to everybody who has it, whatever comes beside it. */
function checkSenderConstraint(context: CheckContext, alternatives: Alternatives, base: Path): void {
  if (alternatives.required.length === 0) {
    context.error([...base, 'senderConstraint'], 'cannot be enforced with authenticate: none');
    return;
  }
  const none = asksForNoCertificate(context);
  for (const { name, path } of namedBy(alternatives)) {
    const config = authenticatorNamed(context, name);
    if (none && config !== undefined && 'dpop' in config && config.dpop === 'off') {
      context.error(
        path,
        `can never be met with senderConstraint: required: ${context.show(name)} has dpop: off, and no client certificates are asked for`,
      );
    }
    if (config?.type !== 'apiKey') continue;
    context.error(
      path,
      `can never be met with senderConstraint: required: ${context.show(name)} has API keys, which are bound to nobody`,
    );
  }
}

/** A token that does not tell its issuer is shown to one authorization server, and to no other. */
function checkOpaqueOwner(context: CheckContext, alternatives: Alternatives): void {
  const asking = namedBy(alternatives).filter(
    ({ name }) => authenticatorNamed(context, name)?.type === 'introspection',
  );
  const [first] = asking;
  const second = asking.find(({ name }) => name !== first?.name);
  if (first === undefined || second === undefined) return;
  const message = `a route can have one introspection authenticator, and has ${context.show(first.name)} already: a token does not tell which of them to ask`;
  context.error(second.path, message);
}

function checkCertificateFor(
  context: CheckContext,
  clients: readonly string[],
  { required }: Alternatives,
  base: Path,
): void {
  const path = [...base, 'certificateFor'];
  if (required.length === 0) {
    context.error(path, 'cannot be enforced with authenticate: none');
    return;
  }
  if (clients.length > 0 && asksForNoCertificate(context)) {
    context.error(path, 'cannot be met: server.tls.clientCertificates is off');
    return;
  }
  if (!context.isWhole(['authenticators'])) return;
  const known = Object.values(context.draft.authenticators ?? {}).flatMap((config) =>
    config.type === 'mtls' ? config.allow.map(({ clientId }) => clientId) : [],
  );
  clients.forEach((entry, index) => {
    const { clientId } = parseClientEntry(entry, context.declared.authenticators);
    if (known.includes(clientId)) return;
    const message = `no mtls entry has the clientId ${context.show(clientId)}${suggestion(clientId, new Set(known))}`;
    context.error([...path, index], message);
  });
}

/**
 * The authenticators whose principal may act on the route, and so name the client: a token or key goes before a certificate, which acts
 * only where it is all that an alternative asks for.
 */
export function actingAuthenticators(
  { required, optional }: Alternatives,
  authenticators: Readonly<Record<string, AuthenticatorConfig>>,
): string[] {
  const isCertificate = (name: string) => Object.hasOwn(authenticators, name) && authenticators[name]?.type === 'mtls';
  const acting = required.flatMap(({ members }) => {
    const bearers = members.filter(({ name }) => !isCertificate(name));
    return bearers.length > 0 ? bearers : members;
  });
  const besides = optional.filter(({ name }) => !isCertificate(name));
  return [...new Set([...acting, ...besides].map(({ name }) => name))];
}
