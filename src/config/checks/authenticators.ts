// Checks of `authenticators` by type: issuers, certificates, and what tells one authenticator's credentials from another's.
import { isLoopbackAddress } from '../../http/host.ts';
import type { Path } from '../problem.ts';
import type {
  ApiKeyAuthenticatorConfig,
  AuthenticatorConfig,
  IntrospectionAuthenticatorConfig,
  JwtAuthenticatorConfig,
  MtlsAuthenticatorConfig,
} from '../schema/config.ts';
import { issuerPresets } from '../schema/issuer-presets.ts';
import { authoritiesAt } from './certificates.ts';
import { foldHeaderName, isIdentityHeader, isProtocolHeader } from './header-names.ts';
import { checkOAuthClient } from './oauth-client.ts';
import type { Review } from './report.ts';

const identities = ['commonName', 'dnsName', 'uri', 'fingerprint'] as const;

export function checkAuthenticators(review: Review): void {
  checkIssuers(review);
  checkKeyPlaces(review);
  for (const [name, config] of Object.entries(review.draft.authenticators ?? {})) {
    const path: Path = ['authenticators', name];
    if (config.type === 'jwt') checkJwt(review, path, config);
    else if (config.type === 'introspection') checkIntrospection(review, path, config);
    else if (config.type === 'mtls') checkMtls(review, path, config);
    else checkDates(review, path, config);
  }
}

function checkJwt(review: Review, path: Path, config: JwtAuthenticatorConfig): void {
  if (config.issuer.includes('?')) review.error([...path, 'issuer'], 'must not have a query (RFC 8414 §2)');
  for (const key of ['issuer', 'jwksUri'] as const) {
    const url = config[key];
    if (url !== undefined && !config.insecure && isPlainHttp(url)) {
      review.error([...path, key], 'plain http is accepted on loopback only; use https, or insecure: true');
    }
  }
  const preset = config.preset && issuerPresets[config.preset];
  if (preset !== undefined && !preset.issuerForm.test(config.issuer)) {
    review.warn([...path, 'issuer'], `does not look like one of preset ${config.preset}: ${preset.issuerExample}`);
  }
  checkAudienceForm(review, path, config);
  if (config.keySet.maxStale < config.keySet.refresh) {
    review.error([...path, 'keySet', 'maxStale'], 'must not be shorter than refresh');
  }
}

/** Only resources have a default: nobody else knows what a token for this gateway is called. */
function checkAudienceForm(
  review: Review,
  path: Path,
  { audience, audienceForm }: JwtAuthenticatorConfig | IntrospectionAuthenticatorConfig,
): void {
  if (audienceForm === 'resource' || audience !== undefined) return;
  const what =
    audienceForm === 'identifier'
      ? 'the names that the issuer has for this gateway, such as api://…'
      : 'the ids of the clients whose tokens are accepted';
  const written = review.isWritten([...path, 'audienceForm']);
  review.error(written ? [...path, 'audienceForm'] : path, `audienceForm ${audienceForm} needs audience: ${what}`);
}

function checkIntrospection(review: Review, path: Path, config: IntrospectionAuthenticatorConfig): void {
  const { issuer, endpoint, insecure } = config;
  if (issuer.includes('?')) review.error([...path, 'issuer'], 'must not have a query (RFC 8414 §2)');
  if (!insecure && isPlainHttp(endpoint)) {
    review.error([...path, 'endpoint'], 'plain http is accepted on loopback only; use https, or insecure: true');
  }
  checkAudienceForm(review, path, config);
  checkOAuthClient(review, path, config);
}

/** True for addresses whose traffic would cross a network in clear. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopbackAddress(hostname);
}

function checkIssuers(review: Review): void {
  const first = new Map<string, string>();
  for (const [name, config] of [...entriesOf(review, 'jwt'), ...entriesOf(review, 'introspection')]) {
    const other = first.get(config.issuer);
    if (other === undefined) first.set(config.issuer, name);
    else
      review.error(['authenticators', name, 'issuer'], `is the issuer of authenticator ${review.show(other)} already`);
  }
}

function checkMtls(review: Review, path: Path, config: MtlsAuthenticatorConfig): void {
  const seen = new Map<string, number>();
  config.allow.forEach((entry, index) => {
    const given = identities.filter((key) => entry[key] !== undefined);
    const [identity] = given;
    if (identity === undefined || given.length > 1) {
      review.error([...path, 'allow', index], `needs exactly one of ${identities.join(', ')}`);
      return;
    }
    const value = entry[identity]!;
    if (identity === 'dnsName' && value.includes('*')) {
      review.error([...path, 'allow', index, 'dnsName'], 'is compared as a whole; * stands for nothing here');
    }
    if (identity === 'uri' && !URL.canParse(value)) review.error([...path, 'allow', index, 'uri'], 'expected a URI');
    const key = `${identity} ${value}`;
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, index);
    else review.warn([...path, 'allow', index], `can never match: allow[${earlier}] has the same ${identity}`);
  });
  checkOwnAuthority(review, path, config);
}

function checkOwnAuthority(review: Review, path: Path, config: MtlsAuthenticatorConfig): void {
  const own = authoritiesAt(review, [...path, 'caFile'], config.caFile);
  const { server } = review.draft;
  const [key, file] =
    server?.tls === undefined
      ? ['clientCertificateHeader', server?.clientCertificateHeader?.clientCaFile]
      : ['tls', server.tls.clientCaFile];
  const trusted = authoritiesAt(quiet(review), [], file);
  if (own === undefined || trusted === undefined) return;
  const known = new Set(trusted.map(({ fingerprint }) => fingerprint));
  if (!own.every(({ fingerprint }) => known.has(fingerprint))) {
    review.error([...path, 'caFile'], `holds an authority that is not in server.${key}.clientCaFile`);
  }
}

/** For files whose own place has been looked at. */
function quiet(review: Review): Review {
  return { ...review, error: () => {}, warn: () => {} };
}

function checkDates(review: Review, path: Path, config: ApiKeyAuthenticatorConfig): void {
  const { deprecation, sunset } = config;
  if (deprecation !== undefined && sunset !== undefined && sunset < deprecation) {
    review.error([...path, 'sunset'], 'must not be before deprecation (RFC 9745 §4)');
  }
  if (sunset !== undefined && sunset <= review.now) {
    review.warn([...path, 'sunset'], 'has passed: every key of this authenticator is refused');
  }
  if (config.keys === undefined && config.keysFile === undefined) review.error(path, 'needs keys or keysFile');
}

/** A key must have one owner, found by its header and prefix alone. */
function checkKeyPlaces(review: Review): void {
  const all = entriesOf(review, 'apiKey');
  const identityNames = identityHeaderNames(review);
  all.forEach(([name, config], index) => {
    const path: Path = ['authenticators', name];
    if (isProtocolHeader(config.header) || isIdentityHeader(config.header)) {
      review.error([...path, 'header'], `${review.show(config.header)} has a meaning of its own; take another header`);
    } else if (identityNames.has(foldHeaderName(config.header))) {
      review.error([...path, 'header'], `${review.show(config.header)} is an identity header of an upstream`);
    }
    if (config.prefix.startsWith('eyJ')) review.error([...path, 'prefix'], 'looks like the start of every JWT');
    for (const [other, { prefix, header }] of all.slice(0, index)) {
      const owner = `authenticator ${review.show(other)}`;
      if (config.prefix.startsWith(prefix) || prefix.startsWith(config.prefix)) {
        review.error(
          review.isWritten([...path, 'prefix']) ? [...path, 'prefix'] : path,
          `prefix ${review.show(config.prefix)} cannot be told from that of ${owner}`,
        );
      }
      if (foldHeaderName(header) === foldHeaderName(config.header)) {
        review.error(
          review.isWritten([...path, 'header']) ? [...path, 'header'] : path,
          `header ${review.show(config.header)} is that of ${owner} already`,
        );
      }
    }
  });
}

function identityHeaderNames(review: Review): ReadonlySet<string> {
  const maps = Object.values(review.draft.upstreams ?? {}).map((upstream) => upstream.identity.headers);
  return new Set(maps.flatMap((map) => (typeof map === 'object' ? Object.values(map) : [])).map(foldHeaderName));
}

/** The authenticators of one type, in their order. */
export function entriesOf<T extends AuthenticatorConfig['type']>(
  review: Review,
  type: T,
): [string, Extract<AuthenticatorConfig, { type: T }>][] {
  const entries = Object.entries(review.draft.authenticators ?? {});
  return entries.filter(
    (entry): entry is [string, Extract<AuthenticatorConfig, { type: T }>] => entry[1].type === type,
  );
}
