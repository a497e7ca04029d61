// Checks of `server`: addresses, TLS, and what would be in clear.
import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { isCipherList } from '../../http/connection/ciphers.ts';
import { isLocal, parseListenAddress } from '../../http/connection/listen-address.ts';
import { buildListenerContext, type ListenerTls } from '../../http/connection/listener.ts';
import { parseCertificateChain } from '../../http/connection/secure-context.ts';
import { unixPeer } from '../../ip-ranges.ts';
import { isProxyUrl, proxyVariable } from '../../oauth/egress.ts';
import type { ServerConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { checkCertificateHeader } from './certificate-header.ts';
import { authoritiesAt, checkRevocationLists, checkSecureContext, warnOfChain, warnOfPurpose } from './certificates.ts';
import type { CheckContext } from './context.ts';

/** Checks the section. */
export function checkServer(context: CheckContext): void {
  const { server } = context.draft;
  if (server !== undefined) {
    if (server.tls === undefined) checkPlaintext(context, server);
    else checkTls(context, server, server.tls);
    if (server.clientCertificateHeader !== undefined) {
      checkCertificateHeader(context, server, server.clientCertificateHeader);
    }
  }
  if (server !== undefined) checkSocketPeers(context, server);
}

/** Checks the proxies that the environment names; that of the file has its schema. */
export function checkEgress(context: CheckContext, env: NodeJS.ProcessEnv): void {
  if (context.draft.server?.egressProxy !== undefined) return;
  for (const name of ['https_proxy', 'http_proxy']) {
    const proxy = proxyVariable(name, env);
    if (proxy === undefined || isProxyUrl(proxy)) continue;
    const variable = name.toUpperCase();
    context.warn(
      ['server'],
      `${variable} of the environment is no proxy of http or https and is not used; see egressProxy`,
    );
  }
}

function checkPlaintext(context: CheckContext, server: ServerConfig): void {
  if (!server.plaintext && !isLocal(parseListenAddress(server.listen))) {
    context.error(
      ['server', 'listen'],
      'plain HTTP is served on loopback only; add tls, or plaintext: true where something else encrypts',
    );
  }
}

/** Behind a unix socket all peers are alike: they count by `unix:`, and by nothing else. */
function checkSocketPeers(context: CheckContext, server: ServerConfig): void {
  const onSocket = parseListenAddress(server.listen).kind === 'unix';
  const lists: [Path, readonly string[]][] = [
    [['server', 'trustedProxies'], server.trustedProxies],
    [['server', 'clientCertificateHeader', 'from'], server.clientCertificateHeader?.from ?? []],
  ];
  for (const [path, peers] of lists) {
    const named = peers.includes(unixPeer);
    if (named && !onSocket) context.warn(path, 'unix: is not used: server.listen is no unix socket');
    if (!named && onSocket && peers.length > 0) {
      context.warn(path, 'no peer of a unix socket has an address: add unix: for who connects to it');
    }
  }
}

function checkTls(context: CheckContext, server: ServerConfig, tls: ListenerTls): void {
  const path: Path = ['server', 'tls'];
  if (server.plaintext) context.error(['server', 'plaintext'], 'must not be true beside tls');
  if (server.publicUrl.startsWith('http:')) {
    context.error(['server', 'publicUrl'], 'must begin with https, since this listener speaks TLS');
  }
  if (checkListenerTls(context, path, tls)) warnOfHost(context, server, tls);
  if (tls.clientCertificates !== 'off' && tls.clientCaFile === undefined) {
    context.error(
      [...path, 'clientCertificates'],
      'needs clientCaFile: client certificates are never verified against public authorities',
    );
  }
  if (tls.clientCertificates !== 'off' || server.clientCertificateHeader !== undefined) return;
  for (const key of ['clientCaFile', 'clientCrlFile'] as const) {
    if (tls[key] !== undefined) context.warn([...path, key], 'is not used while clientCertificates is off');
  }
}

/**
 * Warns where no certificate is for the host of `publicUrl` (RFC 9110, section 4.3.4). Not behind a proxy that ends TLS: its clients see the
 * certificate of the proxy.
 */
function warnOfHost(context: CheckContext, server: ServerConfig, tls: ListenerTls): void {
  if (server.clientCertificateHeader !== undefined) return;
  if (server.trustedProxies.length > 0 && tls.clientCertificates === 'off') return;
  const host = new URL(server.publicUrl).hostname.replace(/^\[|\]$|\.$/g, '');
  const first = context.files.parse(tls.certFile, parseCertificateChain)[0]!;
  // A client that asks for an address sends no server name, so that it sees the first one.
  const isFor = isIP(host)
    ? first.checkIP(host) !== undefined
    : [first, ...furtherCertificates(context, tls)].some((each) => each.checkHost(host, { subject: 'never' }));
  if (isFor) return;
  const name = context.isInterpolated(server.publicUrl) ? '' : `${host}, `;
  const message = `is not for ${name}the host of publicUrl: clients will refuse it`;
  context.warn(['server', 'tls', 'certFile'], message);
}

/** Those that are readable; the others are reported at their places. */
function furtherCertificates({ files }: CheckContext, { certificates }: ListenerTls): X509Certificate[] {
  return certificates.flatMap(({ certFile }) =>
    files.has(certFile) ? files.parse(certFile, parseCertificateChain).slice(0, 1) : [],
  );
}

/** Checks the `tls` of a listener: its files as it will use them, and its ciphers. True when its first certificate is usable. */
export function checkListenerTls(context: CheckContext, path: Path, section: ListenerTls): boolean {
  const hasCiphers = isCipherList(section.ciphers);
  // The files are checked all the same.
  const tls: ListenerTls = hasCiphers ? section : { ...section, ciphers: 'modern' };
  if (!hasCiphers) {
    const expected = 'expected modern, or a list that OpenSSL takes, such as ECDHE+AESGCM:!SHA384';
    context.error([...path, 'ciphers'], expected);
  }
  const usable = checkSecureContext(context, path, () => buildListenerContext(tls, context.files));
  if (usable) {
    warnOfChain(context, [...path, 'certFile'], tls.certFile);
    warnOfPurpose(context, [...path, 'certFile'], tls.certFile);
  }
  checkFurtherCertificates(context, [...path, 'certificates'], tls);
  const authorities = authoritiesAt(context, [...path, 'clientCaFile'], tls.clientCaFile);
  checkRevocationLists(context, [...path, 'clientCrlFile'], tls.clientCrlFile, authorities);
  return usable;
}

/** Further certificates, which are shown for their own names only. The files about clients are checked once. */
function checkFurtherCertificates(context: CheckContext, path: Path, server: ListenerTls): void {
  const tls: ListenerTls = { ...server, clientCertificates: 'off' };
  for (const [index, { certFile }] of tls.certificates.entries()) {
    const own: Path = [...path, index];
    if (!checkSecureContext(context, own, () => buildListenerContext(tls, context.files, index))) continue;
    warnOfChain(context, [...own, 'certFile'], certFile);
    warnOfPurpose(context, [...own, 'certFile'], certFile);
    const { subjectAltName = '' } = context.files.parse(certFile, parseCertificateChain)[0]!;
    if (!subjectAltName.includes('DNS:')) {
      context.warn([...own, 'certFile'], 'the certificate has no DNS name, so that no server name chooses it');
    }
  }
}
