// Egress proxy of requests to authorization servers: `server.egressProxy`, or HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment.
import { isLoopbackAddress } from '../http/host.ts';
import { compileNetworks } from '../ip-ranges.ts';

/** The proxies of one configuration. Plain data, equal where they are the same. */
export interface Egress {
  /** For https. Tunnelled by CONNECT, as everything is. */
  readonly https: string | undefined;
  readonly http: string | undefined;
  /** Entries of NO_PROXY. */
  readonly except: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** True for the URL of a proxy: scheme, host and port, and perhaps a user name and a password. */
export function isProxyUrl(text: string): boolean {
  if (!/^https?:\/\/(?:[^\s/?#@\\]+@)?[^\s/?#@\\]+\/?$/.test(text)) return false;
  try {
    const { username, password } = new URL(text);
    return [username, password].every((part) => typeof decodeURIComponent(part) === 'string');
  } catch {
    return false;
  }
}

/** `configured` alone where it is given. Proxies of other kinds, such as SOCKS, are not used. */
export function egressOf(configured: string | undefined, env: Environment): Egress {
  if (configured !== undefined) return { https: configured, http: configured, except: [] };
  const usable = (name: string) => {
    const proxy = proxyVariable(name, env);
    return proxy !== undefined && isProxyUrl(proxy) ? proxy : undefined;
  };
  const except = read('no_proxy', env)
    ?.split(/[,\s]+/)
    .filter((entry) => entry !== '');
  return { https: usable('https_proxy'), http: usable('http_proxy'), except: except ?? [] };
}

/** The proxy that a variable names; one without a scheme is one of http. */
export function proxyVariable(name: string, env: Environment): string | undefined {
  const value = read(name, env);
  return value === undefined || value.includes('://') ? value : `http://${value}`;
}

/** Lower case comes first, and what is empty is not there. */
function read(name: string, env: Environment): string | undefined {
  return env[name] || env[name.toUpperCase()] || undefined;
}

/**
 * The proxy for an address; undefined where it is asked directly. Plain http on loopback is; the rest of loopback goes through a proxy only if that is
 * on loopback too: another could not reach it.
 */
export function proxyFor(address: string, egress: Egress): string | undefined {
  const { protocol, hostname, port } = new URL(address);
  const isHttps = protocol === 'https:';
  const proxy = isHttps ? egress.https : egress.http;
  if (proxy === undefined) return undefined;
  if (isLoopbackAddress(hostname) && !(isHttps && isLoopbackAddress(new URL(proxy).hostname))) return undefined;
  const exempt = egress.except.some((entry) => covers(entry, hostname, port || (isHttps ? '443' : '80')));
  return exempt ? undefined : proxy;
}

/** An entry is `*`, a name for itself and all below it, an address or a range; a port may follow. */
function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/') || entry.includes('::')) return isWithin(entry, hostname);
  const [, name = '', onlyPort] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  if (onlyPort !== undefined && onlyPort !== port) return false;
  const suffix = name.replace(/^\*?\./, '').toLowerCase();
  return hostname === suffix || hostname.endsWith(`.${suffix}`);
}

function isWithin(range: string, hostname: string): boolean {
  try {
    return compileNetworks([range])(hostname.replace(/^\[|\]$/g, ''));
  } catch {
    return false;
  }
}
