// Checks of `upstreams`: no traffic in clear, certificates that can be used, and identity headers that say one thing each.
import { isPlainHttp, plainHttpRefused } from '../../http/host.ts';
import { foldHeaderName, isProtocolHeader } from '../../upstream/header-names.ts';
import { identityHeaderDefaults } from '../../upstream/identity/facts.ts';
import { buildUpstreamContext } from '../../upstream/tls-context.ts';
import type { UpstreamConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { suggestion } from '../schema/suggestion.ts';
import { claimsOf } from './authenticators.ts';
import { checkSecureContext, warnOfAuthorities, warnOfChain } from './certificates.ts';
import type { CheckContext } from './context.ts';

/** Checks all upstreams. */
export function checkUpstreams(context: CheckContext): void {
  for (const [name, config] of Object.entries(context.draft.upstreams ?? {})) {
    const path: Path = ['upstreams', name];
    if (!config.insecure && isPlainHttp(config.url)) {
      context.error([...path, 'url'], plainHttpRefused);
    }
    checkTls(context, name, config);
    checkIdentityHeaders(context, [...path, 'identity', 'headers'], config.identity.headers);
  }
}

function checkTls(context: CheckContext, name: string, { tls, url }: UpstreamConfig): void {
  if (tls === undefined) return;
  const base = ['upstreams', name, 'tls'];
  if (!url.startsWith('https:')) context.error(base, 'needs an https url');
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    context.error(base, 'certFile and keyFile belong together');
  }
  if (!checkSecureContext(context, base, () => buildUpstreamContext(name, tls, context.files))) return;
  warnOfChain(context, [...base, 'certFile'], tls.certFile);
  warnOfAuthorities(context, [...base, 'caFile'], tls.caFile);
}

function checkIdentityHeaders(context: CheckContext, path: Path, headers: UpstreamConfig['identity']['headers']): void {
  if (typeof headers === 'boolean') return;
  const seen = new Map<string, string>();
  const claims = Object.values(context.draft.authenticators ?? {}).flatMap(claimsOf);
  const known = new Set([...Object.keys(identityHeaderDefaults), ...claims]);
  for (const [fact, header] of Object.entries(headers)) {
    if (!known.has(fact) && context.isWhole(['authenticators'])) {
      const near = suggestion(fact, known);
      context.error([...path, fact], `is no fact, and no authenticator has a claim ${context.show(fact)}${near}`);
    }
    const folded = foldHeaderName(header);
    const other = seen.get(folded);
    if (isProtocolHeader(folded)) {
      context.error([...path, fact], `${context.show(header)} is a header of HTTP, MCP or the gateway itself`);
    } else if (other !== undefined) context.error([...path, fact], `${context.show(header)} carries ${other} already`);
    else seen.set(folded, fact);
  }
}
