// Host and Origin of a request, against DNS rebinding. Both are only compared with the configuration.
import { GatewayError } from '../errors.ts';

const hostForm = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/;
const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Checks of Host and Origin. */
export interface HostPolicy {
  /** Throws `bad_host` unless the Host is publicUrl's, a configured one, or on loopback a loopback name. */
  checkHost(host: string): void;
  /** Throws `origin_denied` for a present Origin that is neither publicUrl's nor configured. `null` never passes. */
  checkOrigin(origin: string | undefined): void;
}

/** Compiles the policy. An entry without a port allows the name on any port. */
export function compileHostPolicy(options: {
  publicUrl: string;
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
  onLoopback: boolean;
}): HostPolicy {
  const hosts = new Set(options.allowedHosts.map((host) => host.toLowerCase()));
  const { host, hostname } = new URL(options.publicUrl);
  // The host with its port too: the usual Host is found without parsing it.
  hosts.add(hostname).add(host);
  if (options.onLoopback) for (const name of loopbackNames) hosts.add(name);
  const origins = new Set([options.publicUrl, ...options.allowedOrigins].map((url) => new URL(url).origin));
  return {
    checkHost(host) {
      if (hosts.has(host)) return;
      const lowered = host.toLowerCase();
      if (hosts.has(lowered)) return;
      const match = hostForm.exec(lowered);
      if (match?.[2] !== undefined && Number(match[2]) <= 65_535 && hosts.has(match[1]!)) return;
      throw new GatewayError('bad_host', 'This host name is not served here. Use the public URL of the gateway.');
    },
    checkOrigin(origin) {
      if (origin === undefined || origins.has(origin)) return;
      throw new GatewayError('origin_denied', 'Pages of this origin may not call this gateway.');
    },
  };
}

/** True for the addresses that only this machine can reach. */
export function isLoopbackAddress(host: string): boolean {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  return bare === 'localhost' || bare === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(bare);
}

/** True for a URL whose traffic would cross a network in clear. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopbackAddress(hostname);
}
