// Difference of two configurations beside their rules: everything but what the access shows and what cannot give access.
import { hash } from 'node:crypto';
import { noEntries } from '../../authn/caller/revocations.ts';
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import type { Config } from '../../config/schema/config.ts';
import { pathPatternCovers } from '../../http/path-pattern.ts';
import type { NamedFiles } from '../../named-files.ts';
import { metaToolsOf } from '../../policy/presets.ts';
import type { PolicyFile } from '../policy-file.ts';

/** A change of which the rules say nothing. */
export interface ConfigurationChange {
  /** Public: one sentence. */
  readonly words: string;
  /** It may let in somebody whom the rules do not speak of. */
  readonly mayWiden: boolean;
}

/** Keys that cannot give access, with all below them. Any other key may: docs/review-access.md has the same list. */
const withoutAccess: ReadonlySet<string> = new Set([
  ...['version', 'audit', 'shadow', 'scopes', 'server.limits', 'server.workers', 'server.drainTimeout'],
  ...['authenticators.deprecation', 'authenticators.migrationGuide'],
  ...['upstreams.timeouts', 'upstreams.limits', 'upstreams.connectionMaxAge', 'upstreams.onClientDisconnect'],
  ...['routes.name', 'routes.bodyBytes', 'routes.mcp.audit', 'routes.mcp.denials'],
]);

/** Keys whose effect the access shows, and those that are compared in another form. */
const toldElsewhere: ReadonlySet<string> = new Set([
  ...['scopeImplies', 'revocation', 'keys.scopes', 'keys.expires', 'keys.networks', 'certificates.scopes'],
  ...['authenticators.keys', 'authenticators.keysFile', 'authenticators.allow', 'authenticators.maxScopes'],
  ...['authenticators.sunset', 'upstreams.url', 'upstreams.identity', 'upstreams.authorization'],
  ...['routes.path', 'routes.methods', 'routes.upstream', 'routes.upstreamPath', 'routes.respond', 'routes.scopes'],
  ...[
    'limits',
    'routes.limits',
    'routes.rules',
    'routes.authenticate',
    'routes.mcp.rules',
    'routes.mcp.preset',
    'routes.mcp.metaTools',
  ],
]);

/** A part of a configuration: its members, by their names in words. */
interface Part {
  readonly words: string;
  readonly members: Readonly<Record<string, unknown>>;
  /** It may widen where only the other configuration does not have it, or only the other one has it. */
  readonly mayWiden: { readonly new: boolean; readonly gone: boolean };
}

/** Compares two configurations at an instant. Files count by their content, wherever they lie. */
export function compareConfigurations(before: PolicyFile, after: PolicyFile, now: number): ConfigurationChange[] {
  const [old, next] = [partsOf(before, after, now), partsOf(after, before, now)];
  const changes = [...new Set([...old.keys(), ...next.keys()])].flatMap((key): ConfigurationChange[] => {
    const [one, other] = [old.get(key), next.get(key)];
    if (one === undefined) return [{ words: `${other!.words} is new`, mayWiden: other!.mayWiden.new }];
    if (other === undefined) return [{ words: `${one.words} is gone`, mayWiden: one.mayWiden.gone }];
    const names = [...new Set([...Object.keys(one.members), ...Object.keys(other.members)])].filter(
      (name) => textOf(one.members[name], before.loaded.files) !== textOf(other.members[name], after.loaded.files),
    );
    const shown = names.filter((name) => !names.some((longer) => longer.startsWith(`${name}.`)));
    return shown.length === 0 ? [] : [{ words: `${other.words}: another ${shown.join(', ')}`, mayWiden: true }];
  });
  return [...changes, ...compareRevocations(before, after)];
}

function partsOf(file: PolicyFile, compared: PolicyFile, now: number): ReadonlyMap<string, Part> {
  const { authenticators, upstreams, routes, ...sections } = file.loaded.config;
  const parts = new Map<string, Part>();
  const always = { new: true, gone: true };
  for (const [name, section] of Object.entries(sections)) {
    if (!isLeftOut(name)) parts.set(name, { words: name, members: membersOf(section, name), mayWiden: always });
  }
  for (const [name, section] of Object.entries(authenticators)) {
    const members = membersOf(section, 'authenticators');
    parts.set(`authenticator ${name}`, { words: `authenticator ${name}`, members, mayWiden: told });
    for (const [key, part] of credentialsOf(name, section, compared, now)) parts.set(key, part);
  }
  const others = compared.loaded.config.routes;
  for (const [index, route] of routes.entries()) {
    const { path, name } = route;
    const overlaps = [...routes, ...others].some((other) => other.path !== path && overlap(other.path, path));
    const among = others.some((other) => overlap(other.path, path));
    const twin = routes.slice(0, index).filter((other) => other.path === path).length;
    const earlier = routes.slice(0, index).map((other) => other.path);
    const members = {
      ...routeMembers(route, upstreams[route.upstream ?? '']),
      // Another route serves what this one does not take.
      methods: overlaps || twin > 0 ? route.methods : undefined,
      'place before or behind other routes': earlier
        .filter((each) => each !== path && overlap(each, path) && others.some((other) => other.path === each))
        .sort(),
    };
    parts.set(`route ${path} ${twin}`, { words: `route ${name}`, members, mayWiden: { new: among, gone: among } });
  }
  return parts;
}

/** Whom it lets in is told by the access. */
const told = { new: false, gone: false };

function overlap(one: string, other: string): boolean {
  return pathPatternCovers(one, other) || pathPatternCovers(other, one);
}

function routeMembers(route: Config['routes'][number], upstream?: Config['upstreams'][string]) {
  const { authenticate, mcp, respond, upstreamPath } = route;
  return {
    ...membersOf(route, 'routes'),
    ...membersOf(upstream, 'upstreams', 'upstream'),
    'authenticate.optional': typeof authenticate === 'string' ? [] : (authenticate.optional ?? []).toSorted(),
    'place that it leads to': [upstream?.url, upstreamPath, respond],
    'identity that the upstream is told': [upstream?.identity, upstream?.authorization],
    'set of tools that call others': mcp && metaToolsOf(mcp),
  };
}

/** The values below a key, by their path in words. */
function membersOf(value: unknown, key: string, shown = ''): Readonly<Record<string, unknown>> {
  if (value === undefined || isLeftOut(key)) return {};
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length === 0) return { [shown]: value };
  return Object.assign(
    {},
    ...entries.map(([name, each]) => membersOf(each, `${key}.${name}`, shown === '' ? name : `${shown}.${name}`)),
  );
}

function isLeftOut(key: string): boolean {
  return withoutAccess.has(key) || toldElsewhere.has(key);
}

type Authenticator = Config['authenticators'][string];

function credentialsOf(name: string, section: Authenticator, { loaded }: PolicyFile, now: number): [string, Part][] {
  if (section.type === 'apiKey') {
    const compared = loaded.config.authenticators[name];
    const others = (compared?.type === 'apiKey' && compared.keys) || [];
    return (section.keys ?? []).map((key) => {
      const { id, clientId, hash: secret, ...rest } = key;
      // The access shows nothing of a key that is valid in neither.
      const other = others.find((each) => each.id === id) ?? key;
      const isPending = [key, other].every(({ notBefore = now }) => notBefore > now);
      const members = { client: clientId, secret, ...membersOf(rest, isPending ? 'pending' : 'keys') };
      const words = `key ${name}/${id} of client ${clientId}`;
      return [`key ${name}/${id}`, { words, members, mayWiden: { new: isPending, gone: false } }];
    });
  }
  if (section.type !== 'mtls') return [];
  return section.allow.map((entry) => {
    const kind = identityKeyOf(entry)!;
    const { [kind]: identity, clientId, ...rest } = entry;
    const members = { kind, client: clientId, ...membersOf(rest, 'certificates') };
    const words = `certificate ${name}/${identity} of client ${clientId}`;
    return [`certificate ${name}/${identity}`, { words, members, mayWiden: { new: true, gone: false } }];
  });
}

/** Lists of revoked credentials, wherever they lie. */
function compareRevocations(before: PolicyFile, after: PolicyFile): ConfigurationChange[] {
  const [one, other] = [revokedBy(before), revokedBy(after)];
  const isLess = (old: Revoked, next: Revoked): boolean =>
    next.issuedBefore < old.issuedBefore || [...old.entries].some((entry) => !next.entries.has(entry));
  return [
    ...(isLess(one, other) ? [{ words: 'revocation: what was revoked is revoked no more', mayWiden: true }] : []),
    ...(isLess(other, one) ? [{ words: 'revocation: more is revoked', mayWiden: false }] : []),
  ];
}

interface Revoked {
  readonly entries: ReadonlySet<string>;
  readonly issuedBefore: number;
}

function revokedBy({ loaded }: PolicyFile): Revoked {
  const { issuedBefore, ...lists } = loaded.revocations?.list?.entries ?? noEntries;
  const entries = Object.entries(lists).flatMap(([key, ids]) => ids.map((id) => `${key} ${id}`));
  return { entries: new Set(entries), issuedBefore: issuedBefore ?? Number.NEGATIVE_INFINITY };
}

/** Equal for equal values, whatever the order of their members. */
function textOf(value: unknown, files: NamedFiles): string | undefined {
  return JSON.stringify(value, (_key, each: unknown) => {
    const content = typeof each === 'string' ? files.get(each) : undefined;
    if (content !== undefined) return `sha256:${hash('sha256', content)}`;
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  });
}
