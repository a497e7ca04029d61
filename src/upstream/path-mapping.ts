// Path mapping between a route and its upstream: `upstreamPath` on the way there, references such as Location on the way back.
import type { Config, RouteConfig } from '../config/schema/config.ts';
import { compilePathPattern, type PathPattern } from '../http/path-pattern.ts';
import type { RewriteHeaders, Targets } from './response/headers.ts';

/** The paths of one route. */
export interface PathMapping {
  /** The path at the upstream, below its base path. Exact routes have one, with a trailing slash or without as it is written. */
  toUpstream(path: string): string;
  /** For headers that refer to a resource: what is at the upstream's own authority is named as clients know it. Everything else passes. */
  readonly references: RewriteHeaders;
}

/** A prefix or path at the upstream, base path included, and the same at the gateway. */
interface Place {
  readonly origin: string;
  readonly there: PathPattern;
  readonly here: PathPattern;
}

/** Compiles the paths of the routes of a configuration. An answer may refer to any route of its upstream, so all are known to each. */
export function compilePathMappings(config: Config): (route: RouteConfig) => PathMapping {
  const upstreams = new Map(Object.entries(config.upstreams).map(([name, { url }]) => [name, new URL(url)]));
  const places = new Map(
    config.routes.flatMap((route) => {
      const upstream = upstreams.get(route.upstream ?? '');
      return upstream === undefined ? [] : [[route, placeOf(route, upstream)] as const];
    }),
  );
  const byOrigin = Map.groupBy(places.values(), ({ origin }) => origin);
  return (route) => {
    const own = places.get(route)!;
    return {
      toUpstream: compileToUpstream(route),
      references: compileReferences(
        new URL(config.server.publicUrl),
        upstreams.get(route.upstream!)!,
        own,
        byOrigin.get(own.origin)!,
      ),
    };
  };
}

function compileReferences(gateway: URL, upstream: URL, own: Place, places: readonly Place[]): RewriteHeaders {
  const basePath = basePathOf(upstream);
  const below = compilePathPattern(`${basePath}/*`);
  const isUpstream = authorityTest(upstream);

  function publicPath(path: string): string {
    const place = own.there.matches(path) ? own : places.find(({ there }) => there.matches(path));
    if (place !== undefined) return rebase(path, place.there.base, place.here.base);
    return below.matches(path) ? rebase(path, basePath, '') : path;
  }

  /** Undefined for what is no URI. */
  function toGateway(reference: string, { path, publicTarget }: Targets): string | undefined {
    // RFC 3986 has ASCII only; what stands raw in a header is UTF-8.
    const ascii = reference.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
    const url = URL.parse(ascii, upstream.origin + basePath + path);
    if (url === null) return undefined;
    const isOurs = url.host === gateway.host && own.there.matches(url.pathname) && !own.here.matches(url.pathname);
    if (!isOurs && !isUpstream(url)) return reference;
    const target = publicPath(url.pathname) + url.search + url.hash;
    if (URL.parse(ascii, gateway.origin + publicTarget)?.href === gateway.origin + target) return reference;
    // A path that begins with two slashes would name another host.
    return namesAuthority(ascii) || namesAuthority(target) ? gateway.origin + target : target;
  }

  const whole = (value: string, targets: Targets): string => toGateway(value, targets) ?? refuseReference();
  return {
    location: whole,
    'content-location': whole,
    refresh: (value, targets) =>
      value.replace(refreshTarget, (_, before: string, uri: string) => before + (toGateway(uri, targets) ?? uri)),
    link: (value, targets) =>
      value.replace(linkReference, (whole, target?: string, before?: string, quoted?: string, token?: string) => {
        const uri = target ?? token ?? quoted!.replace(/\\(.)/g, '$1');
        const mapped = toGateway(uri, targets) ?? uri;
        if (mapped === uri) return whole;
        return target === undefined ? `${before}"${mapped}"` : `<${mapped}>`;
      }),
  };
}

function refuseReference(): never {
  throw new Error('the upstream sent a Location or Content-Location that is no URI');
}

/** The target of a link, and its context in `anchor` (RFC 8288 §3.2), quoted or not. */
const linkReference = /<([^<>]*)>|(;\s*anchor\s*=\s*)(?:"((?:[^"\\]|\\.)*)"|([^\s",;<>]+))/gi;
/** `5; url=/x`, also with a comma or a space, without `url=` and with quotes (WHATWG HTML, shared declarative refresh). */
const refreshTarget = /^(\s*[\d.]*(?:\s*[;,]|\s)\s*(?:url\s*=\s*)?["']?)([^"']+)/i;

function compileToUpstream({ path, upstreamPath }: RouteConfig): PathMapping['toUpstream'] {
  const here = compilePathPattern(path);
  if (!here.isOpen) return () => upstreamPath ?? path;
  if (upstreamPath === undefined) return (target) => target;
  const { base } = compilePathPattern(asPrefix(upstreamPath));
  return (target) => rebase(target, here.base, base);
}

function placeOf({ path, upstreamPath = path }: RouteConfig, upstream: URL): Place {
  const here = compilePathPattern(path);
  const there = here.isOpen ? asPrefix(upstreamPath) : upstreamPath;
  return { origin: upstream.origin, here, there: compilePathPattern(basePathOf(upstream) + there) };
}

/** `/v1` and `/v1/*` are the same prefix. */
function asPrefix(upstreamPath: string): string {
  return upstreamPath.endsWith('/*') ? upstreamPath : `${upstreamPath.replace(/\/$/, '')}/*`;
}

/** The prefix of every path at an upstream: empty, or `/…` without a trailing slash. */
export function basePathOf(url: URL): string {
  return url.pathname.replace(/\/+$/, '');
}

/** Puts one prefix in the place of another. */
function rebase(path: string, from: string, to: string): string {
  const rest = from === '/' ? path : path.slice(from.length);
  return (to === '/' ? '' : to) + rest || '/';
}

/** An authority with the default port written out is the same one, also under the other scheme: the upstream is told `x-forwarded-proto`. */
function authorityTest({ hostname, port, protocol }: URL): (url: URL) => boolean {
  const ports = [port, port || (protocol === 'https:' ? '443' : '80')];
  return (url) =>
    /^https?:$/.test(url.protocol) && url.hostname.replace(/\.$/, '') === hostname && ports.includes(url.port);
}

/** Absolute, or relative to the scheme only. Parsers of URLs take `\` for `/`. */
function namesAuthority(reference: string): boolean {
  return /^\s*(?:[a-z][a-z0-9+.-]*:|[/\\]{2})/i.test(reference);
}
