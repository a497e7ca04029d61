// Checks of `authenticators` by type: issuers, certificates, and what tells one authenticator's credentials from another's.
import { isLoopbackAddress } from '../../http/host.ts';
import { checkOAuthClient } from '../../oauth/client-auth.ts';
import type {
  ApiKeyAuthenticatorConfig,
  AuthenticatorConfig,
  IntrospectionAuthenticatorConfig,
  JwtAuthenticatorConfig,
  MtlsAuthenticatorConfig,
} from '../schema/config.ts';
import { issuerPresets } from '../schema/issuer-presets.ts';
import type { Path } from '../schema/reporter.ts';
import { authoritiesAt } from './certificates.ts';
import type { CheckContext } from './context.ts';
import { foldHeaderName, isIdentityHeader, isProtocolHeader } from './header-names.ts';

const identities = ['commonName', 'dnsName', 'uri', 'fingerprint'] as const;

export function checkAuthenticators(context: CheckContext): void {
  checkIssuers(context);
  checkKeyPlaces(context);
  for (const [name, config] of Object.entries(context.draft.authenticators ?? {})) {
    const path: Path = ['authenticators', name];
    if (config.type === 'jwt') checkJwt(context, path, config);
    else if (config.type === 'introspection') checkIntrospection(context, path, config);
    else if (config.type === 'mtls') checkMtls(context, path, config);
    else checkDates(context, path, config);
  }
}

function checkJwt(context: CheckContext, path: Path, config: JwtAuthenticatorConfig): void {
  if (config.issuer.includes('?')) context.error([...path, 'issuer'], 'must not have a query (RFC 8414 §2)');
  for (const key of ['issuer', 'jwksUri'] as const) {
    const url = config[key];
    if (url !== undefined && !config.insecure && isPlainHttp(url)) {
      context.error([...path, key], 'plain http is accepted on loopback only; use https, or insecure: true');
    }
  }
  const preset = config.preset && issuerPresets[config.preset];
  if (preset !== undefined && !preset.issuerForm.test(config.issuer)) {
    context.warn([...path, 'issuer'], `does not look like one of preset ${config.preset}: ${preset.issuerExample}`);
  }
  checkAudienceForm(context, path, config);
  if (config.keySet.maxStale < config.keySet.refresh) {
    context.error([...path, 'keySet', 'maxStale'], 'must not be shorter than refresh');
  }
}

/** Only resources have a default: nobody else knows what a token for this gateway is called. */
function checkAudienceForm(
  context: CheckContext,
  path: Path,
  { audience, audienceForm }: JwtAuthenticatorConfig | IntrospectionAuthenticatorConfig,
): void {
  if (audienceForm === 'resource' || audience !== undefined) return;
  const what =
    audienceForm === 'identifier'
      ? 'the names that the issuer has for this gateway, such as api://…'
      : 'the ids of the clients whose tokens are accepted';
  const written = context.isWritten([...path, 'audienceForm']);
  context.error(written ? [...path, 'audienceForm'] : path, `audienceForm ${audienceForm} needs audience: ${what}`);
}

function checkIntrospection(context: CheckContext, path: Path, config: IntrospectionAuthenticatorConfig): void {
  const { issuer, endpoint, insecure } = config;
  if (issuer.includes('?')) context.error([...path, 'issuer'], 'must not have a query (RFC 8414 §2)');
  if (!insecure && isPlainHttp(endpoint)) {
    context.error([...path, 'endpoint'], 'plain http is accepted on loopback only; use https, or insecure: true');
  }
  checkAudienceForm(context, path, config);
  checkOAuthClient(config, path, context);
}

/** True for addresses whose traffic would cross a network in clear. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopbackAddress(hostname);
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

function checkMtls(context: CheckContext, path: Path, config: MtlsAuthenticatorConfig): void {
  const seen = new Map<string, number>();
  config.allow.forEach((entry, index) => {
    const given = identities.filter((key) => entry[key] !== undefined);
    const [identity] = given;
    if (identity === undefined || given.length > 1) {
      context.error([...path, 'allow', index], `needs exactly one of ${identities.join(', ')}`);
      return;
    }
    const value = entry[identity]!;
    if (identity === 'dnsName' && value.includes('*')) {
      context.error([...path, 'allow', index, 'dnsName'], 'is compared as a whole; * stands for nothing here');
    }
    if (identity === 'uri' && !URL.canParse(value)) context.error([...path, 'allow', index, 'uri'], 'expected a URI');
    const key = `${identity} ${value}`;
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, index);
    else context.warn([...path, 'allow', index], `can never match: allow[${earlier}] has the same ${identity}`);
  });
  checkOwnAuthority(context, path, config);
}

function checkOwnAuthority(context: CheckContext, path: Path, config: MtlsAuthenticatorConfig): void {
  const own = authoritiesAt(context, [...path, 'caFile'], config.caFile);
  const { server } = context.draft;
  const [key, file] =
    server?.tls === undefined
      ? ['clientCertificateHeader', server?.clientCertificateHeader?.clientCaFile]
      : ['tls', server.tls.clientCaFile];
  const trusted = authoritiesAt(quiet(context), [], file);
  if (own === undefined || trusted === undefined) return;
  const known = new Set(trusted.map(({ fingerprint }) => fingerprint));
  if (!own.every(({ fingerprint }) => known.has(fingerprint))) {
    context.error([...path, 'caFile'], `holds an authority that is not in server.${key}.clientCaFile`);
  }
}

/** For files whose own place has been looked at. */
function quiet(context: CheckContext): CheckContext {
  return { ...context, error: () => {}, warn: () => {} };
}

function checkDates(context: CheckContext, path: Path, config: ApiKeyAuthenticatorConfig): void {
  const { deprecation, sunset } = config;
  if (deprecation !== undefined && sunset !== undefined && sunset < deprecation) {
    context.error([...path, 'sunset'], 'must not be before deprecation (RFC 9745 §4)');
  }
  if (sunset !== undefined && sunset <= context.now) {
    context.warn([...path, 'sunset'], 'has passed: every key of this authenticator is refused');
  }
  if (config.keys === undefined && config.keysFile === undefined) context.error(path, 'needs keys or keysFile');
}

/** A key must have one owner, found by its header and prefix alone. */
function checkKeyPlaces(context: CheckContext): void {
  const all = entriesOf(context, 'apiKey');
  const identityNames = identityHeaderNames(context);
  all.forEach(([name, config], index) => {
    const path: Path = ['authenticators', name];
    if (isProtocolHeader(config.header) || isIdentityHeader(config.header)) {
      context.error(
        [...path, 'header'],
        `${context.show(config.header)} has a meaning of its own; take another header`,
      );
    } else if (identityNames.has(foldHeaderName(config.header))) {
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
      if (foldHeaderName(header) === foldHeaderName(config.header)) {
        context.error(
          context.isWritten([...path, 'header']) ? [...path, 'header'] : path,
          `header ${context.show(config.header)} is that of ${owner} already`,
        );
      }
    }
  });
}

function identityHeaderNames(context: CheckContext): ReadonlySet<string> {
  const maps = Object.values(context.draft.upstreams ?? {}).map((upstream) => upstream.identity.headers);
  return new Set(maps.flatMap((map) => (typeof map === 'object' ? Object.values(map) : [])).map(foldHeaderName));
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
