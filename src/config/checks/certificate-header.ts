// Checks of `server.clientCertificateHeader`: exact peers, a hop that proves itself, authorities to judge by.
import { isLoopbackAddress } from '../../http/host.ts';
import type { Path } from '../problem.ts';
import type { ServerConfig } from '../schema/config.ts';
import { authoritiesAt, checkRevocationLists } from './certificates.ts';
import type { Review } from './report.ts';

type HeaderConfig = NonNullable<ServerConfig['clientCertificateHeader']>;

const identities = ['commonName', 'dnsName', 'uri', 'fingerprint'] as const;

export function checkCertificateHeader(review: Review, server: ServerConfig, header: HeaderConfig): void {
  const path: Path = ['server', 'clientCertificateHeader'];
  checkPeers(review, header, [...path, 'from']);
  if (header.proxy !== undefined) checkProxy(review, server, header.proxy, [...path, 'proxy']);
  checkAuthorities(review, server, header, path);
}

/** Whoever can connect from such an address can state any certificate, unless the hop proves who it is. */
function checkPeers(review: Review, { from, proxy }: HeaderConfig, path: Path): void {
  from.forEach((entry, index) => {
    const [address = '', bits] = entry.split('/');
    const whole = bits === undefined || Number(bits) === (address.includes(':') ? 128 : 32);
    const place = [...path, index];
    if (!whole) review.error(place, 'is a range; list the exact address of each proxy');
    else if (proxy === undefined && !isLoopbackAddress(address)) {
      review.error(
        place,
        'is not on loopback: add proxy with the identity of its certificate, since others on the way could write the header',
      );
    }
  });
}

function checkProxy(
  review: Review,
  { tls }: ServerConfig,
  proxy: NonNullable<HeaderConfig['proxy']>,
  path: Path,
): void {
  const given = identities.filter((key) => proxy[key] !== undefined);
  const [identity] = given;
  if (identity === undefined || given.length > 1) {
    review.error(path, `needs exactly one of ${identities.join(', ')}`);
    return;
  }
  if (tls === undefined || tls.clientCertificates === 'off') {
    review.error(
      path,
      'can never be met: the proxy is asked for its certificate only with server.tls.clientCertificates: optional or required',
    );
  }
  const value = proxy[identity];
  for (const [name, config] of Object.entries(review.draft.authenticators ?? {})) {
    if (config.type !== 'mtls') continue;
    config.allow.forEach((entry, index) => {
      if (entry[identity] !== value) return;
      review.error(
        ['authenticators', name, 'allow', index],
        `is the certificate of server.clientCertificateHeader.proxy, which is never a client's`,
      );
    });
  }
}

function checkAuthorities(review: Review, { tls }: ServerConfig, header: HeaderConfig, path: Path): void {
  if (tls !== undefined) {
    for (const key of ['clientCaFile', 'clientCrlFile'] as const) {
      if (header[key] !== undefined) review.error([...path, key], `belongs into server.tls.${key} here`);
    }
    if (tls.clientCaFile === undefined && tls.clientCertificates === 'off') {
      review.error(path, 'needs server.tls.clientCaFile: the certificates in it are judged like those of connections');
    }
    return;
  }
  if (header.clientCaFile === undefined) {
    review.error(path, 'needs clientCaFile: the authorities that the certificates in it must come from');
  }
  const authorities = authoritiesAt(review, [...path, 'clientCaFile'], header.clientCaFile);
  checkRevocationLists(review, [...path, 'clientCrlFile'], header, authorities);
}
