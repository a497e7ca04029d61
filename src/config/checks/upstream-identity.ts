// Checks of assertions and token exchange: keys that fit, callers of whom there is something to say, and one credential for the upstream.
import { parseAssertionKey } from '../../upstream/identity/assertion-key.ts';
import { parseUsername, type UsernameTemplate } from '../../upstream/identity/username.ts';
import type { Path } from '../problem.ts';
import type { AssertionConfig, AuthenticatorConfig, ExchangeConfig, RouteConfig } from '../schema/config.ts';
import { suggestion } from '../suggestion.ts';
import { actingAuthenticators, alternativesOf, authenticatorNamed } from './authenticate.ts';
import { isPlainHttp } from './authenticators.ts';
import { readAt } from './certificates.ts';
import { checkOAuthClient } from './oauth-client.ts';
import type { Review } from './report.ts';

/** What the gateway itself says in an assertion, or what would change how it is understood. */
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

export function checkIdentity(review: Review): void {
  for (const [name, { identity, authorization }] of Object.entries(review.draft.upstreams ?? {})) {
    const { assertion, exchange } = identity;
    const path: Path = ['upstreams', name, 'identity'];
    const kind = assertion === undefined ? 'exchange' : 'assertion';
    if (assertion === undefined && exchange === undefined) continue;
    if (authorization !== undefined) {
      const message = `cannot stand beside identity.${kind}: one Authorization is sent`;
      review.error(['upstreams', name, 'authorization'], message);
    }
    checkAnonymous(review, name, kind);
    if (assertion !== undefined) checkAssertion(review, name, assertion, [...path, 'assertion']);
    if (exchange === undefined) continue;
    if (assertion !== undefined) review.error([...path, 'exchange'], 'cannot stand beside assertion: take one of them');
    else checkExchange(review, name, exchange, [...path, 'exchange']);
  }
}

/** Routes of the upstream on which nobody is authenticated. */
function checkAnonymous(review: Review, upstream: string, kind: string): void {
  for (const { route, path } of routesTo(review, upstream)) {
    if (route.authenticate !== 'none') continue;
    review.error(
      [...path, 'authenticate'],
      `upstream ${review.show(upstream)} has identity.${kind}, and there is nobody to tell it of here; add an upstream without it for this route`,
    );
  }
}

function checkAssertion(review: Review, name: string, assertion: AssertionConfig, path: Path): void {
  checkKeys(review, assertion, path);
  checkClaims(review, assertion, path);
  checkUsernames(review, name, readTemplates(review, assertion, path), path);
}

function checkExchange(review: Review, name: string, exchange: ExchangeConfig, path: Path): void {
  const { authenticator, endpoint, insecure, audience, resource } = exchange;
  if (!insecure && isPlainHttp(endpoint)) {
    review.error([...path, 'endpoint'], 'plain http is accepted on loopback only; use https, or insecure: true');
  }
  checkOAuthClient(review, path, exchange);
  if (audience === undefined && resource === undefined && review.isWhole(path)) {
    review.error(path, 'needs audience or resource: a token for nobody in particular would be good anywhere');
  }
  const owner = authenticatorNamed(review, authenticator);
  if (!review.declared.authenticators.includes(authenticator)) {
    const near = suggestion(authenticator, review.declared.authenticators);
    review.error([...path, 'authenticator'], `unknown authenticator ${review.show(authenticator)}${near}`);
  } else if (owner !== undefined && !('issuer' in owner)) {
    review.error([...path, 'authenticator'], `${review.show(authenticator)} verifies no access tokens`);
  } else checkExchanged(review, name, authenticator);
}

/** Callers without a token of that issuer have nothing that could be exchanged. */
function checkExchanged(review: Review, upstream: string, authenticator: string): void {
  for (const { acting, route, path } of routesTo(review, upstream)) {
    if (route.authenticate === 'none') continue;
    const at = [...path, 'authenticate'];
    const others = acting.filter((name) => name !== authenticator).map(review.show);
    const theirs = `upstream ${review.show(upstream)} takes tokens of ${review.show(authenticator)} only`;
    if (others.length === acting.length) review.error(at, `${theirs}, so that every caller would be denied`);
    else if (others.length > 0) review.warn(at, `${theirs}: callers of ${others.join(', ')} are denied`);
  }
}

interface RouteToUpstream {
  readonly route: RouteConfig;
  readonly path: Path;
  /** The authenticators there are that can name the caller. */
  readonly acting: readonly string[];
}

function routesTo(review: Review, upstream: string): RouteToUpstream[] {
  return (review.draft.routes ?? []).flatMap((route, index) => {
    if (route.upstream !== upstream) return [];
    const named = actingAuthenticators(alternativesOf(route.authenticate, []), review.draft.authenticators ?? {});
    const acting = named.filter((name) => review.declared.authenticators.includes(name));
    return [{ route, path: ['routes', index], acting }];
  });
}

function checkKeys(review: Review, { keyFiles, algorithm }: AssertionConfig, path: Path): void {
  const kids = keyFiles.map((file, index) => {
    const at = [...path, 'keyFiles', index];
    return readAt(review, at, file, (pem) => parseAssertionKey(pem, algorithm))?.kid;
  });
  kids.forEach((kid, index) => {
    const first = kids.indexOf(kid);
    if (kid !== undefined && first < index) {
      review.warn([...path, 'keyFiles', index], `holds the same key as keyFiles[${first}]`);
    }
  });
}

function checkClaims(review: Review, { claims }: AssertionConfig, path: Path): void {
  if (!review.isWritten([...path, 'claims'])) return;
  const configured = new Set(Object.values(review.draft.authenticators ?? {}).flatMap(claimsOf));
  for (const [ours, name] of Object.entries(claims)) {
    const at = [...path, 'claims', ours];
    if (ownClaims.includes(ours)) review.error(at, 'is a claim of the gateway itself; take another name');
    else if (!configured.has(name)) {
      review.error(at, `no authenticator has a claim ${review.show(name)}${suggestion(name, configured)}`);
    }
  }
}

/** Those whose authenticator there is. */
function readTemplates(review: Review, { username }: AssertionConfig, path: Path): Templates {
  const templates = new Map<string, UsernameTemplate | undefined>();
  for (const [name, text] of Object.entries(username)) {
    const at = [...path, 'username', name];
    if (name !== 'default' && !review.declared.authenticators.includes(name)) {
      const near = suggestion(name, [...review.declared.authenticators, 'default']);
      review.error(at, `unknown authenticator ${review.show(name)}${near}`);
      continue;
    }
    const template = read(review, at, text);
    templates.set(name, template);
    if (name !== 'default' && template !== undefined) checkTemplate(review, name, template, at);
  }
  return templates;
}

function read(review: Review, at: Path, text: string): UsernameTemplate | undefined {
  try {
    return parseUsername(text);
  } catch (error) {
    review.error(at, (error as Error).message);
    return undefined;
  }
}

function checkTemplate(review: Review, name: string, template: UsernameTemplate, at: Path): void {
  const config = authenticatorNamed(review, name);
  const configured = new Set(config === undefined ? template.claims : claimsOf(config));
  for (const claim of template.claims) {
    if (configured.has(claim)) continue;
    const whose = `authenticator ${review.show(name)} has no claim ${review.show(claim)}${suggestion(claim, configured)}`;
    review.error(at, `${whose}: each of its callers would be refused`);
  }
}

/** Whoever may come in through a route must be able to have a name. */
function checkUsernames(review: Review, upstream: string, templates: Templates, path: Path): void {
  const byDefault = new Set<string>();
  for (const { acting, route } of routesTo(review, upstream)) {
    for (const name of acting.filter((each) => !templates.has(each))) {
      if (templates.has('default')) byDefault.add(name);
      else {
        const whose = `${review.show(name)}, which route ${review.show(route.name)} accepts`;
        review.error([...path, 'username'], `has nothing for ${whose}; add it, or default`);
      }
    }
  }
  const fallback = templates.get('default');
  if (fallback === undefined) return;
  const at: Path = [...path, 'username', 'default'];
  for (const name of byDefault) checkTemplate(review, name, fallback, at);
  checkShared(review, byDefault, fallback, at);
}

/** What one issuer calls a person, another may call somebody else. */
function checkShared(review: Review, names: ReadonlySet<string>, { parts }: UsernameTemplate, at: Path): void {
  if (parts.some((part) => 'field' in part && (part.field === 'issuer' || part.field === 'authenticator'))) return;
  const firstOfIssuer = new Map<string, string>();
  for (const name of names) {
    const config = authenticatorNamed(review, name);
    if (config !== undefined && 'issuer' in config && !firstOfIssuer.has(config.issuer)) {
      firstOfIssuer.set(config.issuer, name);
    }
  }
  if (firstOfIssuer.size < 2) return;
  const whose = [...firstOfIssuer.values()].map(review.show).join(' and ');
  review.warn(
    at,
    `the issuers of ${whose} may have the same name for two people; write a template for each, or put \${authenticator} into it`,
  );
}

function claimsOf(config: AuthenticatorConfig): string[] {
  return 'claims' in config ? Object.keys(config.claims) : [];
}
