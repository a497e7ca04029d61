// When the configured certificates and API keys end, for the metrics.
import { X509Certificate } from 'node:crypto';
import { parseRevocationLists } from '../authn/certificate/trust-store.ts';
import type { LoadedConfig } from './load.ts';

export interface Expiry {
  /** Where the configuration names it, such as `server.tls.certFile`, or a key's id. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly expiresAtSeconds: number;
}

/** The first certificate of each configured certificate or CA file. */
export function certificateExpiries({ config, files }: LoadedConfig): Expiry[] {
  const named: [string, string | undefined][] = [
    ['server.tls.certFile', config.server.tls?.certFile],
    ['server.tls.clientCaFile', config.server.tls?.clientCaFile],
    ['server.clientCertificateHeader.clientCaFile', config.server.clientCertificateHeader?.clientCaFile],
  ];
  for (const [name, { tls }] of Object.entries(config.upstreams)) {
    named.push([`upstreams.${name}.tls.certFile`, tls?.certFile], [`upstreams.${name}.tls.caFile`, tls?.caFile]);
  }
  return named.flatMap(([name, path]) => {
    const content = path === undefined ? undefined : files.get(path);
    if (content === undefined) return [];
    return [{ name, expiresAtSeconds: Date.parse(new X509Certificate(content).validTo) / 1000 }];
  });
}

/** When the first of the configured revocation lists is overdue. */
export function revocationListExpiries({ config, files }: LoadedConfig): Expiry[] {
  const path = config.server.tls?.clientCrlFile;
  const content = path === undefined ? undefined : files.get(path);
  if (content === undefined) return [];
  const ends = parseRevocationLists(content).map(({ nextUpdate }) => nextUpdate);
  return [{ name: 'server.tls.clientCrlFile', expiresAtSeconds: Math.min(...ends) / 1000 }];
}

/** Each key with the earlier of its own expiry and its authenticator's sunset. */
export function apiKeyExpiries({ config }: LoadedConfig): Expiry[] {
  return Object.values(config.authenticators).flatMap((authenticator) => {
    if (authenticator.type !== 'apiKey') return [];
    const { sunset = Number.POSITIVE_INFINITY } = authenticator;
    return (authenticator.keys ?? []).flatMap(({ id, expires = Number.POSITIVE_INFINITY }) => {
      const end = Math.min(sunset, expires);
      return Number.isFinite(end) ? [{ name: id, expiresAtSeconds: end / 1000 }] : [];
    });
  });
}
