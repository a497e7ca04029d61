// Host and Origin of a request, against DNS rebinding. Both are only compared with the configuration.
import { isIP } from 'node:net';
import { GatewayError } from '../errors.ts';

const hostForm = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/;
const loopbackNames = ['localhost', '127.0.0.1', '[::1]'];
/** RFC 6761, RFC 6762, RFC 8375; `internal` is reserved by ICANN, and Kubernetes has `svc`. */
const privateZone = /\.(?:localhost|local|internal|home\.arpa|svc)$/;
const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/i;

/** Checks of Host and Origin. */
export interface HostPolicy {
  /** The Host is publicUrl's, a configured one, or on loopback a loopback name. */
  isServed(host: string): boolean;
  /** Throws `bad_host` unless the Host is served, `bad_request` for none. */
  checkHost(host: string | undefined): void;
  /** Throws `origin_denied` for a present Origin that is neither publicUrl's nor configured. `null` never passes. */
  checkOrigin(origin: string | undefined): void;
  /** A target in absolute form (RFC 9112 §3.2.2) that names one of these hosts, in origin form; any other target unchanged. */
  originForm(target: string): string;
}

/** Compiles the policy. An entry without a port allows the name on any port. */
export function compileHostPolicy(options: {
  publicUrl: string;
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
  onLoopback: boolean;
}): HostPolicy {
  const { host, hostname } = new URL(options.publicUrl);
  // The host with its port too: the usual Host is found without parsing it.
  const hosts = new Set([hostname, host, ...(options.onLoopback ? loopbackNames : [])]);
  for (const allowed of options.allowedHosts) hosts.add(nameAndPort(parseHost(allowed)!));
  const origins = new Set([new URL(options.publicUrl).origin, ...options.allowedOrigins]);
  const isServed = (host: string): boolean => {
    if (hosts.has(host)) return true;
    const parsed = parseHost(host);
    return parsed !== undefined && (hosts.has(parsed.name) || hosts.has(nameAndPort(parsed)));
  };
  return {
    isServed,
    checkHost(host) {
      if (host === undefined || host === '') throw new GatewayError('bad_request', 'The Host header is missing.');
      if (isServed(host)) return;
      throw new GatewayError('bad_host', 'This host name is not served here. Use the public URL of the gateway.');
    },
    checkOrigin(origin) {
      if (origin === undefined || origins.has(origin)) return;
      throw new GatewayError('origin_denied', 'Pages of this origin may not call this gateway.');
    },
    originForm(target) {
      const [, authority, rest = ''] = absoluteForm.exec(target) ?? [];
      if (authority === undefined || !isServed(authority)) return target;
      return rest.startsWith('/') ? rest : `/${rest}`;
    },
  };
}

/** A host as it is compared. */
interface ParsedHost {
  /** In lower case, a domain name without the dot of the root, an IPv6 address in its short form (RFC 5952). */
  readonly name: string;
  readonly port: string | undefined;
}

/** Undefined for what is no host. */
export function parseHost(host: string): ParsedHost | undefined {
  const [, name, port] = hostForm.exec(host.toLowerCase()) ?? [];
  if (name === undefined || Number(port ?? 0) > 65_535) return undefined;
  if (!name.startsWith('[')) return { name: name.replace(/\.$/, ''), port };
  return URL.canParse(`http://${name}`) ? { name: new URL(`http://${name}`).hostname, port } : undefined;
}

function nameAndPort({ name, port }: ParsedHost): string {
  return port === undefined ? name : `${name}:${port}`;
}

/**
 * True for a host that is no name of a public DNS zone: none, an address, a name without a dot or in a zone of private use. A page that has bound its
 * own name to an address of this machine (DNS rebinding) sends that name.
 */
export function isPrivateHost(host: string): boolean {
  if (host === '') return true;
  const name = parseHost(host)?.name;
  if (name === undefined) return false;
  return name.startsWith('[') || isIP(name) !== 0 || !name.includes('.') || privateZone.test(name);
}

/** True for the addresses that only this machine can reach. */
export function isLoopbackAddress(host: string): boolean {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  return bare === 'localhost' || bare === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(bare);
}

/** The sentence of `check` for such a URL, unless `insecure` accepts it. */
export const plainHttpRefused = 'plain http is accepted on loopback only; use https, or insecure: true';

/** True for a URL whose traffic would cross a network in clear. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopbackAddress(hostname);
}
