// Extraction of the credentials from a request head: at most one token or key, in one place, in plain form (RFC 6750 §2).
import { GatewayError } from '../errors.ts';
import type { AuthenticationObserver } from './authenticator-type.ts';
import type { CredentialRecord, Credentials, PeerCertificate, PresentedKey } from './credential.ts';
import { schemeUnknown } from './errors.ts';
import { findKeyAuthenticator, type KeyIndex } from './find-authenticator.ts';
import { createAccessToken } from './token/compact-jws.ts';

/** The parts of a request that credentials come in. */
export interface CredentialSources {
  /** Names and values in turn, as received: only here a second header of the same name can be seen. */
  readonly rawHeaders: readonly string[];
  /** Behind `?`, still encoded; empty when there is none. */
  readonly query: string;
  readonly peer: PeerCertificate | undefined;
  /** Filled with the credentials of the request, for its audit record. */
  readonly seen: CredentialRecord[];
}

interface Authenticators {
  readonly keys: KeyIndex;
  readonly observe: Pick<AuthenticationObserver, 'authenticationAttempted'>;
}

/** RFC 9110 §11.1: an auth-scheme. */
const schemeForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 6750 §2.1: b64token. */
const bearerForm = /^[A-Za-z0-9\-._~+/]+=*$/;
const keyForm = /^[\x21-\x7e]+$/;

/**
 * Extracts the credentials, whose length `server.limits.headerBytes` bounds. A Bearer value with the prefix of an API key is a key; a DPoP proof without a token of that scheme is ignored. Throws
 * GatewayError: `duplicate_header`, `bad_request` (malformed, or a credential in the query), `ambiguous_credentials` (a token together with a key, or
 * two keys), `invalid_token` (a scheme other than Bearer and DPoP).
 */
export function extractCredentials(sources: CredentialSources, authenticators: Authenticators): Credentials {
  const { keys } = authenticators;
  const { rawHeaders, query, peer } = sources;
  let authorization: string | undefined;
  let proof: string | undefined;
  let key: PresentedKey | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (name === 'authorization') {
      if (authorization !== undefined) throw duplicate(name);
      authorization = rawHeaders[index + 1]!;
    } else if (name === 'dpop') {
      if (proof !== undefined) throw duplicate('DPoP');
      proof = rawHeaders[index + 1]!;
    } else if (keys.headers.has(name)) {
      if (key !== undefined) throw key.header === name ? duplicate(name) : ambiguous(sources, 'api-key');
      key = { kind: 'api-key', key: rawHeaders[index + 1]!, header: name };
    }
  }
  if (authorization !== undefined && key !== undefined) throw ambiguous(sources, 'access-token');
  if (query !== '') refuseCredentialInQuery(query, keys.headers);
  if (key !== undefined && !keyForm.test(key.key)) {
    throw malformed('The API key header is malformed: send the key and nothing else.');
  }
  return {
    certificate: peer && { kind: 'client-certificate', peer },
    tokenOrKey: authorization === undefined ? key : parseAuthorization(authorization, proof, authenticators),
  };
}

function parseAuthorization(
  authorization: string,
  proof: string | undefined,
  { keys, observe }: Authenticators,
): Credentials['tokenOrKey'] {
  const end = authorization.indexOf(' ');
  const scheme = end === -1 ? authorization : authorization.slice(0, end);
  const text = end === -1 ? undefined : authorization.slice(end + 1);
  if (!schemeForm.test(scheme)) throw malformed('The Authorization header is malformed: send "Bearer" and one token.');
  const isDpop = scheme.toLowerCase() === 'dpop';
  if (!isDpop && scheme.toLowerCase() !== 'bearer') {
    observe.authenticationAttempted('none', 'refused', 'scheme', 0);
    throw schemeUnknown();
  }
  if (text === undefined || !bearerForm.test(text)) {
    throw malformed('The Authorization header is malformed: send "Bearer" or "DPoP", one space and one token.');
  }
  if (isDpop) return { kind: 'dpop-token', token: createAccessToken(text), proof };
  const header = 'authorization';
  return findKeyAuthenticator(keys, text, header) === undefined
    ? { kind: 'access-token', token: createAccessToken(text), proof: undefined }
    : { kind: 'api-key', key: text, header };
}

/** RFC 6750 §2.3 is not offered: URLs end in logs, histories and referrers. */
function refuseCredentialInQuery(query: string, keyHeaders: ReadonlySet<string>): void {
  for (const pair of query.split(/[&;]/)) {
    const end = pair.indexOf('=');
    const name = decode(end === -1 ? pair : pair.slice(0, end));
    if (name === 'access_token' || keyHeaders.has(name.toLowerCase())) {
      throw malformed(
        'Credentials are not accepted in the query: send the token in the Authorization header.',
        'query',
      );
    }
  }
}

function decode(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function duplicate(name: string): GatewayError {
  return new GatewayError('duplicate_header', `Send the ${name} header once.`);
}

/** `other` is what came beside a key. */
function ambiguous({ peer, seen }: CredentialSources, other: 'access-token' | 'api-key'): GatewayError {
  const kinds = [...(peer === undefined ? [] : ['client-certificate' as const]), other, 'api-key' as const];
  seen.push(...kinds.map((kind) => ({ kind, authenticator: undefined, id: undefined, principal: undefined })));
  return new GatewayError(
    'ambiguous_credentials',
    'Send either an access token or one API key, not several credentials at once.',
  );
}

function malformed(message: string, reason = 'format'): GatewayError {
  return new GatewayError('bad_request', message, { reason });
}
