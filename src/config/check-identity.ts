// Checks of assertions: keys that fit, names that every caller can have, and no second credential beside them.
import { parseAssertionKey } from '../upstream/assertion-key.ts';
import { parseUsername, type UsernameTemplate } from '../upstream/username.ts';
import { actingAuthenticators, alternativesOf } from './alternatives.ts';
import { authenticatorNamed } from './check-authenticate.ts';
import { readAt } from './check-pem.ts';
import type { Path } from './problem.ts';
import type { Review } from './review.ts';
import type { AssertionConfig, AuthenticatorConfig } from './schema.ts';
import { suggestion } from './suggest.ts';

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
    const { assertion } = identity;
    if (assertion === undefined) continue;
    const path: Path = ['upstreams', name, 'identity', 'assertion'];
    if (authorization !== undefined) {
      review.error(
        ['upstreams', name, 'authorization'],
        'cannot stand beside identity.assertion: one Authorization is sent',
      );
    }
    checkKeys(review, assertion, path);
    checkClaims(review, assertion, path);
    const templates = readTemplates(review, assertion, path);
    checkRoutes(review, name, templates, path);
  }
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
function checkRoutes(review: Review, upstream: string, templates: Templates, path: Path): void {
  const fallback = templates.get('default');
  const byDefault = new Set<string>();
  (review.draft.routes ?? []).forEach((route, index) => {
    if (route.upstream !== upstream) return;
    if (route.authenticate === 'none') {
      review.error(
        ['routes', index, 'authenticate'],
        `upstream ${review.show(upstream)} has an assertion, and nobody to name in it here; add an upstream without one for this route`,
      );
    }
    const acting = actingAuthenticators(alternativesOf(route.authenticate, []), review.draft.authenticators ?? {});
    for (const name of acting) {
      if (!review.declared.authenticators.includes(name) || templates.has(name)) continue;
      if (templates.has('default')) byDefault.add(name);
      else
        review.error(
          [...path, 'username'],
          `has nothing for ${review.show(name)}, which route ${review.show(route.name)} accepts; add it, or default`,
        );
    }
  });
  if (fallback === undefined) return;
  for (const name of byDefault) checkTemplate(review, name, fallback, [...path, 'username', 'default']);
}

function claimsOf(config: AuthenticatorConfig): string[] {
  return 'claims' in config ? Object.keys(config.claims) : [];
}
