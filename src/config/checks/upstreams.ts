// Checks of `upstreams`: no traffic in clear, certificates that can be used, and identity headers that say one thing each.

import type { Path } from '../problem.ts';
import type { UpstreamConfig } from '../schema/config.ts';
import { isPlainHttp } from './authenticators.ts';
import { certificatesAt, checkKeyPair } from './certificates.ts';
import { foldHeaderName, isProtocolHeader } from './header-names.ts';
import type { Review } from './report.ts';

export function checkUpstreams(review: Review): void {
  for (const [name, config] of Object.entries(review.draft.upstreams ?? {})) {
    const path: Path = ['upstreams', name];
    if (!config.insecure && isPlainHttp(config.url)) {
      review.error([...path, 'url'], 'plain http is accepted on loopback only; use https, or insecure: true');
    }
    checkTls(review, path, config);
    checkIdentityHeaders(review, [...path, 'identity', 'headers'], config.identity.headers);
  }
}

function checkTls(review: Review, path: Path, { tls, url }: UpstreamConfig): void {
  if (tls === undefined) return;
  const base = [...path, 'tls'];
  if (!url.startsWith('https:')) review.error(base, 'needs an https url');
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    review.error(base, 'certFile and keyFile belong together');
  }
  checkKeyPair(review, base, tls.certFile, tls.keyFile);
  certificatesAt(review, [...base, 'caFile'], tls.caFile);
}

function checkIdentityHeaders(review: Review, path: Path, headers: UpstreamConfig['identity']['headers']): void {
  if (typeof headers === 'boolean') return;
  const seen = new Map<string, string>();
  for (const [fact, header] of Object.entries(headers)) {
    const folded = foldHeaderName(header);
    const other = seen.get(folded);
    if (isProtocolHeader(header)) {
      review.error([...path, fact], `${review.show(header)} is a header of HTTP, MCP or the gateway itself`);
    } else if (other !== undefined) review.error([...path, fact], `${review.show(header)} carries ${other} already`);
    else seen.set(folded, fact);
  }
}
