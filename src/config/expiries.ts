// Expiry of the configured certificates, revocation lists and API keys, for the metrics.
import type { X509Certificate } from 'node:crypto';
import { endOfKey } from '../authn/api-key.ts';
import { parseRevocationLists } from '../authn/certificate/trust-store.ts';
import { parseCertificateChain } from '../http/connection/secure-context.ts';
import { parseCertificates } from '../pem.ts';
import type { LoadedConfig } from './load.ts';

/** The end of a certificate, CRL or key. */
export interface Expiry {
  /** Its place in the configuration, such as `server.tls.certFile`, or a key's id. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly expiresAtSeconds: number;
}

type NamedCertificates = [name: string, path: string | undefined, parser: (pem: Buffer) => X509Certificate[]];

/** The first certificate of a configured file. */
export interface ConfiguredCertificate {
  /** Its place in the configuration, such as `server.tls.certFile`. */
  readonly name: string;
  readonly path: string;
  readonly certificate: X509Certificate;
}

/** The ends of the configured certificates. */
export function certificateExpiries(loaded: LoadedConfig): Expiry[] {
  return configuredCertificates(loaded).map(({ certificate, name }) => ({
    name,
    expiresAtSeconds: certificate.validToDate.getTime() / 1000,
  }));
}

/** The first certificate of each configured certificate or CA file. */
export function configuredCertificates({ config, files }: LoadedConfig): ConfiguredCertificate[] {
  const ofListeners = (['server', 'admin'] as const).flatMap((section): NamedCertificates[] => {
    const { tls } = config[section];
    return [
      [`${section}.tls.certFile`, tls?.certFile, parseCertificateChain],
      ...(tls?.certificates ?? []).map(
        ({ certFile }, index): NamedCertificates => [
          `${section}.tls.certificates[${index}].certFile`,
          certFile,
          parseCertificateChain,
        ],
      ),
      [`${section}.tls.clientCaFile`, tls?.clientCaFile, parseCertificates],
    ];
  });
  const ofHeader = config.server.clientCertificateHeader?.clientCaFile;
  const ofServer: NamedCertificates[] = [
    ...ofListeners,
    ['server.clientCertificateHeader.clientCaFile', ofHeader, parseCertificates],
  ];
  const ofUpstreams = Object.entries(config.upstreams).flatMap(([name, { tls }]): NamedCertificates[] => [
    [`upstreams.${name}.tls.certFile`, tls?.certFile, parseCertificateChain],
    [`upstreams.${name}.tls.caFile`, tls?.caFile, parseCertificates],
  ]);
  return [...ofServer, ...ofUpstreams].flatMap(([name, path, parser]) =>
    path === undefined ? [] : [{ name, path, certificate: files.parse(path, parser)[0]! }],
  );
}

/** The first overdue date of the configured revocation lists. */
export function revocationListExpiries({ config, files }: LoadedConfig): (Expiry & { readonly path: string })[] {
  return (['server', 'admin'] as const).flatMap((section) => {
    const path = config[section].tls?.clientCrlFile;
    if (path === undefined) return [];
    const ends = files.parse(path, parseRevocationLists).map(({ nextUpdate }) => nextUpdate);
    return [{ name: `${section}.tls.clientCrlFile`, path, expiresAtSeconds: Math.min(...ends) / 1000 }];
  });
}

/** Each key with the earlier of its own expiry and its authenticator's sunset. */
export function apiKeyExpiries({ config }: LoadedConfig): Expiry[] {
  return Object.values(config.authenticators).flatMap((authenticator) => {
    if (authenticator.type !== 'apiKey') return [];
    return (authenticator.keys ?? [])
      .map((key) => ({ name: key.id, expiresAtSeconds: endOfKey(key, authenticator) / 1000 }))
      .filter(({ expiresAtSeconds }) => Number.isFinite(expiresAtSeconds));
  });
}
