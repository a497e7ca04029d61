// Checks of `authenticators`: each by its type, and what tells the credentials of one from those of another.
import { type AuthenticatorConfig, authenticatorTypeOf } from '../../authn/authenticator-types.ts';
import { foldHeaderName, identityHeaders, isNeverForwarded, isProtocolHeader } from '../../upstream/header-names.ts';
import type { Path } from '../schema/reporter.ts';
import { authoritiesAt, checkServerAuthorities } from './certificates.ts';
import type { CheckContext } from './context.ts';

/** Checks each authenticator, and all of them together. */
export function checkAuthenticators(context: CheckContext): void {
  checkIssuers(context);
  checkKeyPlaces(context);
  for (const [name, config] of Object.entries(context.draft.authenticators ?? {})) {
    const path: Path = ['authenticators', name];
    authenticatorTypeOf(config).check(config, path, context);
    if (config.type === 'mtls') checkOwnAuthority(context, [...path, 'caFile'], config.caFile);
    else if ('issuer' in config) checkServerAuthorities(context, path, config.caFile);
  }
}

function checkIssuers(context: CheckContext): void {
  const first = new Map<string, string>();
  for (const [name, config] of [...entriesOf(context, 'jwt'), ...entriesOf(context, 'introspection')]) {
    const other = first.get(config.issuer);
    if (other === undefined) first.set(config.issuer, name);
    else
      context.error(
        ['authenticators', name, 'issuer'],
        `is the issuer of authenticator ${context.show(other)} already`,
      );
  }
}

function checkOwnAuthority(context: CheckContext, path: Path, caFile: string | undefined): void {
  const own = authoritiesAt(context, path, caFile);
  const { server } = context.draft;
  const [key, file] =
    server?.tls === undefined
      ? ['clientCertificateHeader', server?.clientCertificateHeader?.clientCaFile]
      : ['tls', server.tls.clientCaFile];
  const trusted = authoritiesAt(quiet(context), [], file);
  if (own === undefined || trusted === undefined) return;
  const known = new Set(trusted.map(({ fingerprint }) => fingerprint));
  if (!own.every(({ fingerprint }) => known.has(fingerprint))) {
    context.error(path, `holds an authority that is not in server.${key}.clientCaFile`);
  }
}

/** For files whose own place has been looked at. */
function quiet(context: CheckContext): CheckContext {
  return { ...context, error: () => {}, warn: () => {} };
}

/** A key must have one owner, found by its header and prefix alone. */
function checkKeyPlaces(context: CheckContext): void {
  const all = entriesOf(context, 'apiKey');
  const ofUpstreams = new Set(identityHeaders({ upstreams: context.draft.upstreams ?? {} }).map(foldHeaderName));
  all.forEach(([name, config], index) => {
    const path: Path = ['authenticators', name];
    const folded = foldHeaderName(config.header);
    if (isProtocolHeader(folded) || isNeverForwarded(folded)) {
      context.error(
        [...path, 'header'],
        `${context.show(config.header)} has a meaning of its own; take another header`,
      );
    } else if (ofUpstreams.has(folded)) {
      context.error([...path, 'header'], `${context.show(config.header)} is an identity header of an upstream`);
    }
    if (config.prefix.startsWith('eyJ')) context.error([...path, 'prefix'], 'looks like the start of every JWT');
    for (const [other, { prefix, header }] of all.slice(0, index)) {
      const owner = `authenticator ${context.show(other)}`;
      if (config.prefix.startsWith(prefix) || prefix.startsWith(config.prefix)) {
        context.error(
          context.isWritten([...path, 'prefix']) ? [...path, 'prefix'] : path,
          `prefix ${context.show(config.prefix)} cannot be told from that of ${owner}`,
        );
      }
      if (foldHeaderName(header) === folded) {
        context.error(
          context.isWritten([...path, 'header']) ? [...path, 'header'] : path,
          `header ${context.show(config.header)} is that of ${owner} already`,
        );
      }
    }
  });
}

/** Our names of the claims that its tokens may carry. */
export function claimsOf(config: AuthenticatorConfig): string[] {
  return 'claims' in config ? Object.keys(config.claims) : [];
}

/** The authenticators of one type, in their order. */
export function entriesOf<T extends AuthenticatorConfig['type']>(
  context: CheckContext,
  type: T,
): [string, Extract<AuthenticatorConfig, { type: T }>][] {
  const entries = Object.entries(context.draft.authenticators ?? {});
  return entries.filter(
    (entry): entry is [string, Extract<AuthenticatorConfig, { type: T }>] => entry[1].type === type,
  );
}
