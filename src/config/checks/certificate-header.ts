// Checks of `server.clientCertificateHeader`: exact peers, a hop that proves itself, authorities to judge by.
import type { CertificateHeaderConfig as HeaderConfig } from '../../authn/certificate/header.ts';
import { identityKeyOf, oneIdentityNeeded } from '../../authn/certificate/identity.ts';
import { isLoopbackAddress } from '../../http/host.ts';
import { unixPeer } from '../../ip-ranges.ts';
import type { ServerConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { authoritiesAt, checkRevocationLists } from './certificates.ts';
import type { CheckContext } from './context.ts';

/** Checks `server.clientCertificateHeader`. */
export function checkCertificateHeader(context: CheckContext, server: ServerConfig, header: HeaderConfig): void {
  const path: Path = ['server', 'clientCertificateHeader'];
  checkPeers(context, header, [...path, 'from']);
  if (header.proxy !== undefined) checkProxy(context, server, header.proxy, [...path, 'proxy']);
  checkAuthorities(context, server, header, path);
}

/** Whoever can connect from such an address can state any certificate, unless the hop proves who it is. */
function checkPeers(context: CheckContext, { from, proxy }: HeaderConfig, path: Path): void {
  from.forEach((entry, index) => {
    const [address = '', bits] = entry.split('/');
    const whole = bits === undefined || Number(bits) === (address.includes(':') ? 128 : 32);
    const place = [...path, index];
    if (entry === unixPeer) return;
    if (!whole) context.error(place, 'is a range; list the exact address of each proxy');
    else if (proxy === undefined && !isLoopbackAddress(address)) {
      context.error(
        place,
        'is not on loopback: add proxy with the identity of its certificate, since others on the way could write the header',
      );
    }
  });
}

function checkProxy(
  context: CheckContext,
  { tls }: ServerConfig,
  proxy: NonNullable<HeaderConfig['proxy']>,
  path: Path,
): void {
  const identity = identityKeyOf(proxy);
  if (identity === undefined) {
    context.error(path, oneIdentityNeeded);
    return;
  }
  if (tls === undefined || tls.clientCertificates === 'off') {
    context.error(
      path,
      'can never be met: the proxy is asked for its certificate only with server.tls.clientCertificates: optional or required',
    );
  }
  const value = proxy[identity];
  for (const [name, config] of Object.entries(context.draft.authenticators ?? {})) {
    if (config.type !== 'mtls') continue;
    config.allow.forEach((entry, index) => {
      if (entry[identity] !== value) return;
      context.error(
        ['authenticators', name, 'allow', index],
        `is the certificate of server.clientCertificateHeader.proxy, which is never a client's`,
      );
    });
  }
}

function checkAuthorities(context: CheckContext, { tls }: ServerConfig, header: HeaderConfig, path: Path): void {
  if (tls !== undefined) {
    for (const key of ['clientCaFile', 'clientCrlFile'] as const) {
      if (header[key] !== undefined) context.error([...path, key], `belongs into server.tls.${key} here`);
    }
    if (tls.clientCaFile === undefined && tls.clientCertificates === 'off') {
      context.error(path, 'needs server.tls.clientCaFile: the certificates in it are judged like those of connections');
    }
    return;
  }
  if (header.clientCaFile === undefined) {
    context.error(path, 'needs clientCaFile: the authorities that the certificates in it must come from');
  }
  const authorities = authoritiesAt(context, [...path, 'clientCaFile'], header.clientCaFile);
  checkRevocationLists(context, [...path, 'clientCrlFile'], header.clientCrlFile, authorities);
}
