// Checks of assertions and token exchange: keys, usernames of all callers, and one credential for the upstream.
import { alternativesOf } from '../../authn/alternatives.ts';
import { isPlainHttp, plainHttpRefused } from '../../http/host.ts';
import { checkOAuthClient } from '../../oauth/client-auth.ts';
import type { ExchangeConfig } from '../../oauth/token-exchange.ts';
import { parsePrivateKey } from '../../pem.ts';
import { assertionKeyOf } from '../../upstream/identity/assertion-key.ts';
import { parseUsername, type UsernameTemplate } from '../../upstream/identity/username.ts';
import type { AssertionConfig, RouteConfig } from '../schema/config.ts';
import { attemptAt, type Path, readAt } from '../schema/reporter.ts';
import { suggestion } from '../schema/suggestion.ts';
import { claimsOf } from './authenticators.ts';
import { checkServerAuthorities } from './certificates.ts';
import type { CheckContext } from './context.ts';
import { actingAuthenticators, authenticatorNamed } from './routes/authenticate.ts';

/** Claims of the gateway itself in an assertion, and those that would change how it is understood. */
const ownClaims = [
  ...['iss', 'aud', 'sub', 'preferred_username', 'client_id', 'azp', 'act', 'scope', 'jti', 'iat', 'exp'],
  ...['scp', 'nbf', 'cnf', 'may_act', 'username', 'subject', '__proto__'],
];

/** Undefined for one that cannot be read, which has been reported. */
type Templates = ReadonlyMap<string, UsernameTemplate | undefined>;

/** Usernames are templates over the principal: the environment and files are not put into them. */
export function isUsername(path: Path): boolean {
  return path[0] === 'upstreams' && path[2] === 'identity' && path[3] === 'assertion' && path[4] === 'username';
}

/** Checks `identity` of all upstreams. */
export function checkIdentity(context: CheckContext): void {
  for (const [name, { identity, authorization }] of Object.entries(context.draft.upstreams ?? {})) {
    const { assertion, exchange } = identity;
    const path: Path = ['upstreams', name, 'identity'];
    const kind = assertion === undefined ? 'exchange' : 'assertion';
    if (assertion === undefined && exchange === undefined) continue;
    if (authorization !== undefined) {
      const message = `cannot stand beside identity.${kind}: one Authorization is sent`;
      context.error(['upstreams', name, 'authorization'], message);
    }
    checkAnonymous(context, name, kind);
    if (assertion !== undefined) checkAssertion(context, name, assertion, [...path, 'assertion']);
    if (exchange === undefined) continue;
    if (assertion !== undefined)
      context.error([...path, 'exchange'], 'cannot stand beside assertion: take one of them');
    else checkExchange(context, name, exchange, [...path, 'exchange']);
  }
}

/** Routes of the upstream on which nobody is authenticated. */
function checkAnonymous(context: CheckContext, upstream: string, kind: string): void {
  for (const { route, path } of routesTo(context, upstream)) {
    if (route.authenticate !== 'none') continue;
    context.error(
      [...path, 'authenticate'],
      `upstream ${context.show(upstream)} has identity.${kind}, and there is nobody to tell it of here; add an upstream without it for this route`,
    );
  }
}

function checkAssertion(context: CheckContext, name: string, assertion: AssertionConfig, path: Path): void {
  checkKeys(context, assertion, path);
  checkClaims(context, assertion, path);
  checkUsernames(context, name, readTemplates(context, assertion, path), path);
}

function checkExchange(context: CheckContext, name: string, exchange: ExchangeConfig, path: Path): void {
  const { authenticator, endpoint, insecure, audience, resource } = exchange;
  if (!insecure && isPlainHttp(endpoint)) {
    context.error([...path, 'endpoint'], plainHttpRefused);
  }
  checkOAuthClient(exchange, path, context);
  checkServerAuthorities(context, path, exchange.caFile);
  if (audience === undefined && resource === undefined && context.isWhole(path)) {
    context.error(path, 'needs audience or resource: a token for nobody in particular would be good anywhere');
  }
  const owner = authenticatorNamed(context, authenticator);
  if (!context.declared.authenticators.includes(authenticator)) {
    const near = suggestion(authenticator, context.declared.authenticators);
    context.error([...path, 'authenticator'], `unknown authenticator ${context.show(authenticator)}${near}`);
  } else if (owner !== undefined && !('issuer' in owner)) {
    context.error([...path, 'authenticator'], `${context.show(authenticator)} verifies no access tokens`);
  } else checkExchanged(context, name, authenticator);
}

/** Callers without a token of that issuer have nothing that could be exchanged. */
function checkExchanged(context: CheckContext, upstream: string, authenticator: string): void {
  for (const { acting, route, path } of routesTo(context, upstream)) {
    if (route.authenticate === 'none') continue;
    const at = [...path, 'authenticate'];
    const others = acting.filter((name) => name !== authenticator).map(context.show);
    const theirs = `upstream ${context.show(upstream)} takes tokens of ${context.show(authenticator)} only`;
    if (others.length === acting.length) context.error(at, `${theirs}, so that every caller would be denied`);
    else if (others.length > 0) context.warn(at, `${theirs}: callers of ${others.join(', ')} are denied`);
  }
}

interface RouteToUpstream {
  readonly route: RouteConfig;
  readonly path: Path;
  /** The authenticators there are that can name the caller. */
  readonly acting: readonly string[];
}

function routesTo(context: CheckContext, upstream: string): RouteToUpstream[] {
  return (context.draft.routes ?? []).flatMap((route, index) => {
    if (route.upstream !== upstream) return [];
    const named = actingAuthenticators(alternativesOf(route.authenticate), context.draft.authenticators ?? {});
    const acting = named.filter((name) => context.declared.authenticators.includes(name));
    return [{ route, path: ['routes', index], acting }];
  });
}

function checkKeys(context: CheckContext, { keyFiles, algorithm }: AssertionConfig, path: Path): void {
  const kids = keyFiles.map((file, index) => {
    const at = [...path, 'keyFiles', index];
    const key = readAt(context, at, file, parsePrivateKey);
    return key && attemptAt(context, at, file, () => assertionKeyOf(key, algorithm))?.kid;
  });
  kids.forEach((kid, index) => {
    const first = kids.indexOf(kid);
    if (kid !== undefined && first < index) {
      context.warn([...path, 'keyFiles', index], `holds the same key as keyFiles[${first}]`);
    }
  });
}

function checkClaims(context: CheckContext, { claims }: AssertionConfig, path: Path): void {
  if (!context.isWritten([...path, 'claims'])) return;
  const configured = new Set(Object.values(context.draft.authenticators ?? {}).flatMap(claimsOf));
  for (const [ours, name] of Object.entries(claims)) {
    const at = [...path, 'claims', ours];
    if (ownClaims.includes(ours)) context.error(at, 'is a claim of the gateway itself; take another name');
    else if (!configured.has(name)) {
      context.error(at, `no authenticator has a claim ${context.show(name)}${suggestion(name, configured)}`);
    }
  }
}

/** Those whose authenticator there is. */
function readTemplates(context: CheckContext, { username }: AssertionConfig, path: Path): Templates {
  const templates = new Map<string, UsernameTemplate | undefined>();
  for (const [name, text] of Object.entries(username)) {
    const at = [...path, 'username', name];
    if (name !== 'default' && !context.declared.authenticators.includes(name)) {
      const near = suggestion(name, [...context.declared.authenticators, 'default']);
      context.error(at, `unknown authenticator ${context.show(name)}${near}`);
      continue;
    }
    const template = read(context, at, text);
    templates.set(name, template);
    if (name !== 'default' && template !== undefined) checkTemplate(context, name, template, at);
  }
  return templates;
}

function read(context: CheckContext, at: Path, text: string): UsernameTemplate | undefined {
  try {
    return parseUsername(text);
  } catch (error) {
    context.error(at, (error as Error).message);
    return undefined;
  }
}

function checkTemplate(context: CheckContext, name: string, template: UsernameTemplate, at: Path): void {
  const config = authenticatorNamed(context, name);
  const configured = new Set(config === undefined ? template.claims : claimsOf(config));
  for (const claim of template.claims) {
    if (configured.has(claim)) continue;
    const whose = `authenticator ${context.show(name)} has no claim ${context.show(claim)}${suggestion(claim, configured)}`;
    context.error(at, `${whose}: each of its callers would be refused`);
  }
}

/** Whoever may come in through a route must be able to have a name. */
function checkUsernames(context: CheckContext, upstream: string, templates: Templates, path: Path): void {
  const byDefault = new Set<string>();
  for (const { acting, route } of routesTo(context, upstream)) {
    for (const name of acting.filter((each) => !templates.has(each))) {
      if (templates.has('default')) byDefault.add(name);
      else {
        const whose = `${context.show(name)}, which route ${context.show(route.name)} accepts`;
        context.error([...path, 'username'], `has nothing for ${whose}; add it, or default`);
      }
    }
  }
  const fallback = templates.get('default');
  if (fallback === undefined) return;
  const at: Path = [...path, 'username', 'default'];
  for (const name of byDefault) checkTemplate(context, name, fallback, at);
  checkShared(context, byDefault, fallback, at);
}

/** Two issuers may have the same name for two people. */
function checkShared(context: CheckContext, names: ReadonlySet<string>, { parts }: UsernameTemplate, at: Path): void {
  if (parts.some((part) => 'field' in part && (part.field === 'issuer' || part.field === 'authenticator'))) return;
  const firstOfIssuer = new Map<string, string>();
  for (const name of names) {
    const config = authenticatorNamed(context, name);
    if (config !== undefined && 'issuer' in config && !firstOfIssuer.has(config.issuer)) {
      firstOfIssuer.set(config.issuer, name);
    }
  }
  if (firstOfIssuer.size < 2) return;
  const whose = [...firstOfIssuer.values()].map(context.show).join(' and ');
  context.warn(
    at,
    `the issuers of ${whose} may have the same name for two people; write a template for each, or put \${authenticator} into it`,
  );
}
