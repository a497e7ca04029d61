// Takes the credentials out of a request head: at most one token or key, in one place, in plain form.
import { GatewayError } from '../errors.ts';
import type { CredentialRecord, Credentials, PeerCertificate } from './credential.ts';
import { credentialRefused } from './errors.ts';

export interface CredentialSources {
  /** Names and values in turn, as received: only here a second header of the same name can be seen. */
  readonly rawHeaders: readonly string[];
  /** What stands behind `?`, still encoded; empty when nothing does. */
  readonly query: string;
  readonly peer: PeerCertificate | undefined;
  /** Lower-case names of the headers of all apiKey authenticators. */
  readonly keyHeaders: ReadonlySet<string>;
  /** Filled with what was presented when that is ambiguous, for the record: nobody is asked about it any more. */
  readonly seen?: CredentialRecord[] | undefined;
  /** Counts what is refused here although it is a credential. */
  readonly observe?: {
    credentialJudged(authenticator: string, result: string, reason: string, seconds: number | undefined): void;
  };
}

const maxCredentialLength = 8192;
/** RFC 9110 §11.1: what stands before the first space, or alone. */
const schemeForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 6750 §2.1: b64token. */
const bearerForm = /^[A-Za-z0-9\-._~+/]+=*$/;
const keyForm = /^[\x21-\x7e]+$/;

/**
 * Collects what the caller presents. Throws GatewayError: `duplicate_header`, `bad_request` (malformed, or a credential in the query),
 * `ambiguous_credentials` (a token together with a key, or two keys), `invalid_token` (a scheme other than Bearer and DPoP).
 * A DPoP proof that no token of that scheme comes with is nobody's business.
 */
export function collectCredentials(sources: CredentialSources): Credentials {
  const { rawHeaders, keyHeaders } = sources;
  let authorization: string | undefined;
  let proof: string | undefined;
  let apiKey: Credentials['apiKey'];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (name === 'authorization') {
      if (authorization !== undefined) throw duplicate(name);
      authorization = rawHeaders[index + 1]!;
    } else if (name === 'dpop') {
      if (proof !== undefined) throw duplicate('DPoP');
      proof = rawHeaders[index + 1]!;
    } else if (keyHeaders.has(name)) {
      if (apiKey !== undefined)
        throw apiKey.header === name ? duplicate(name) : ambiguous(sources, 'api-key', 'api-key');
      apiKey = { key: rawHeaders[index + 1]!, header: name };
    }
  }
  if (authorization !== undefined && apiKey !== undefined) throw ambiguous(sources, 'access-token', 'api-key');
  if (sources.query !== '') refuseCredentialInQuery(sources.query, keyHeaders);
  if (apiKey !== undefined) checkKey(apiKey.key);
  const { peer: certificate } = sources;
  if (authorization === undefined) return { certificate, bearer: undefined, apiKey };
  const { scheme, token } = tokenOf(authorization, sources);
  return scheme === 'bearer'
    ? { certificate, bearer: token, apiKey }
    : { certificate, bearer: undefined, apiKey, dpop: { token, proof } };
}

function tokenOf(authorization: string, { observe }: CredentialSources): { scheme: 'bearer' | 'dpop'; token: string } {
  const end = authorization.indexOf(' ');
  const written = end === -1 ? authorization : authorization.slice(0, end);
  const token = end === -1 ? undefined : authorization.slice(end + 1);
  if (!schemeForm.test(written)) throw malformed('The Authorization header is malformed: send "Bearer" and one token.');
  const scheme = written.toLowerCase();
  if (scheme !== 'bearer' && scheme !== 'dpop') {
    observe?.credentialJudged('none', 'refused', 'scheme', 0);
    throw credentialRefused('access-token', 'scheme');
  }
  if (token === undefined || !bearerForm.test(token)) {
    throw malformed('The Authorization header is malformed: send "Bearer" or "DPoP", one space and one token.');
  }
  if (token.length > maxCredentialLength) throw malformed('The token in the Authorization header is too long.');
  return { scheme, token };
}

function checkKey(key: string): void {
  if (!keyForm.test(key)) throw malformed('The API key header is malformed: send the key and nothing else.');
  if (key.length > maxCredentialLength) throw malformed('The API key is too long.');
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

function ambiguous({ peer, seen }: CredentialSources, ...kinds: CredentialRecord['kind'][]): GatewayError {
  const present = peer === undefined ? kinds : ['client-certificate' as const, ...kinds];
  seen?.push(...present.map((kind) => ({ kind, authenticator: undefined, id: undefined })));
  return new GatewayError(
    'ambiguous_credentials',
    'Send either an access token or one API key, not several credentials at once.',
  );
}

function malformed(message: string, reason = 'format'): GatewayError {
  return new GatewayError('bad_request', message, { reason });
}
