// Choice of a certificate by the server name of the handshake (SNI, RFC 6066 §3).
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';

/** A certificate with the context that shows it; without one it is the certificate of everybody else. */
export interface NamedContext {
  readonly certificate: X509Certificate;
  readonly context?: SecureContext;
}

/** Longer names and other characters than those of DNS are in no certificate. */
const dnsName = /^[a-z0-9._-]{1,253}$/i;

/** Finds the context of the first certificate that has the name itself, then of the first whose wildcard matches it; undefined for all others. */
export function compileServerNames(named: readonly NamedContext[]): (name: string) => SecureContext | undefined {
  return (name) => {
    if (!dnsName.test(name)) return undefined;
    const having = (wildcards: boolean) => named.find(({ certificate }) => hasName(certificate, name, wildcards));
    return (having(false) ?? having(true))?.context;
  };
}

/** RFC 9525 §6: the common name is none of them. */
function hasName(certificate: X509Certificate, name: string, wildcards: boolean): boolean {
  return certificate.checkHost(name, { subject: 'never', wildcards }) !== undefined;
}
