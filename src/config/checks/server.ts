// Checks of `server`, `admin` and `audit`: addresses, TLS, what would be in clear, and where records go.
import { isLoopbackAddress } from '../../http/host.ts';
import type { Path } from '../problem.ts';
import type { AuditConfig, ServerConfig } from '../schema/config.ts';
import { checkCertificateHeader } from './certificate-header.ts';
import { authoritiesAt, checkKeyPair, checkRevocationLists } from './certificates.ts';
import type { Review } from './report.ts';

type TlsConfig = NonNullable<ServerConfig['tls']>;

export function checkServer(review: Review): void {
  const { server, admin } = review.draft;
  if (server !== undefined) {
    if (server.tls === undefined) checkPlaintext(review, server);
    else checkTls(review, server, server.tls);
    if (server.clientCertificateHeader !== undefined) {
      checkCertificateHeader(review, server, server.clientCertificateHeader);
    }
  }
  if (server === undefined || admin === undefined) return;
  if (sharesAddress(server.listen, admin.listen)) {
    const where = review.isWritten(['admin', 'listen']) ? ['admin', 'listen'] : ['server', 'listen'];
    review.error(where, 'server.listen and admin.listen must not be the same address');
  } else if (isEverywhere(admin.listen)) {
    review.warn(['admin', 'listen'], 'metrics and status can be reached from everywhere; listen on one address');
  }
}

function checkPlaintext(review: Review, server: ServerConfig): void {
  if (!server.plaintext && !isLoopbackAddress(hostOf(server.listen))) {
    review.error(
      ['server', 'listen'],
      'plain HTTP is served on loopback only; add tls, or plaintext: true where something else encrypts',
    );
  }
}

function checkTls(review: Review, server: ServerConfig, tls: TlsConfig): void {
  const path: Path = ['server', 'tls'];
  if (server.plaintext) review.error(['server', 'plaintext'], 'must not be true beside tls');
  if (server.publicUrl.startsWith('http:')) {
    review.error(['server', 'publicUrl'], 'must begin with https, since this listener speaks TLS');
  }
  checkKeyPair(review, path, tls.certFile, tls.keyFile);
  const authorities = authoritiesAt(review, [...path, 'clientCaFile'], tls.clientCaFile);
  checkRevocationLists(review, [...path, 'clientCrlFile'], tls, authorities);
  if (tls.clientCertificates !== 'off' && tls.clientCaFile === undefined) {
    review.error(
      [...path, 'clientCertificates'],
      'needs clientCaFile: client certificates are never verified against public authorities',
    );
  }
  if (tls.clientCertificates !== 'off' || server.clientCertificateHeader !== undefined) return;
  for (const key of ['clientCaFile', 'clientCrlFile'] as const) {
    if (tls[key] !== undefined) review.warn([...path, key], 'is not used while clientCertificates is off');
  }
}

export function checkAudit(review: Review): void {
  const { audit } = review.draft;
  if (audit === undefined) return;
  const seen = new Map<string, number>();
  audit.sinks.forEach((sink, index) => {
    const key = sink.type === 'file' ? sink.path : sink.type;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else review.error(['audit', 'sinks', index], `writes to the same place as sinks[${first}]`);
    if (sink.type === 'file' && review.files.has(sink.path)) {
      review.error(
        ['audit', 'sinks', index, 'path'],
        'is a file that this configuration reads; records would destroy it',
      );
    }
  });
  warnOfLoss(review, audit);
}

function warnOfLoss(review: Review, audit: AuditConfig): void {
  if (audit.onFailure === 'refuse' && audit.sinks.every((sink) => !sink.required)) {
    review.warn(['audit', 'sinks'], 'no sink is required: requests go on while no record can be written');
  }
}

function hostOf(listen: string): string {
  return listen.slice(0, listen.lastIndexOf(':'));
}

function portOf(listen: string): number {
  return Number(listen.slice(listen.lastIndexOf(':') + 1));
}

function isEverywhere(listen: string): boolean {
  return ['0.0.0.0', '[::]', '[::0]', '*'].includes(hostOf(listen));
}

/** Port 0 is a free port, never the same twice. */
function sharesAddress(one: string, other: string): boolean {
  if (portOf(one) !== portOf(other) || portOf(one) === 0) return false;
  return hostOf(one) === hostOf(other) || isEverywhere(one) || isEverywhere(other);
}
