// TLS of the admin listener as it is served.
import { authenticatorNamesOf } from '../authn/alternatives.ts';
import { clientAuthorities } from '../authn/certificate/source.ts';
import type { ListenerTls } from '../http/connection/listener.ts';
import type { Config } from './schema/config.ts';

/** The configuration that it follows from. */
export type AdminTlsConfig = Pick<Config, 'admin' | 'authenticators' | 'server'>;

/**
 * The `admin.tls`, with the authorities of the server's clients where its own are not given and `authenticate` names an mtls authenticator. Without any
 * authorities nobody is asked for a certificate. Undefined for plain HTTP.
 */
export function adminTlsOf({ admin, authenticators, server }: AdminTlsConfig): ListenerTls | undefined {
  const { authenticate, tls } = admin;
  if (tls === undefined) return undefined;
  const named = authenticate === undefined ? [] : authenticatorNamesOf(authenticate);
  const inherits = tls.clientCaFile === undefined && named.some((name) => authenticators[name]?.type === 'mtls');
  const { caFile, crlFile } = (inherits && clientAuthorities(server)) || {
    caFile: tls.clientCaFile,
    crlFile: tls.clientCrlFile,
  };
  return {
    ...tls,
    section: 'admin.tls',
    clientCertificates: caFile === undefined ? 'off' : tls.clientCertificates,
    clientCaFile: caFile,
    clientCrlFile: tls.clientCrlFile ?? crlFile,
  };
}
