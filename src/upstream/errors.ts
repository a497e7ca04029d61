// Failures of forwarding, and their errors.
import { GatewayError, overloadedBy } from '../errors.ts';

/** Reasons of failed forwarding: a metric label and a word in the log. */
export type UpstreamFailure =
  | 'connect'
  | 'connect_timeout'
  | 'tls'
  | 'first_byte_timeout'
  | 'idle_timeout'
  | 'reset'
  | 'protocol'
  | 'headers_too_large'
  | 'status'
  | 'informational'
  | 'credential'
  | 'unreadable'
  | 'too_large'
  | 'descriptors'
  | 'closed'
  | 'request_body'
  | 'unknown';

const failureOfCode: Readonly<Record<string, UpstreamFailure>> = {
  ECONNREFUSED: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  EHOSTDOWN: 'connect',
  ENOTFOUND: 'connect',
  EAI_AGAIN: 'connect',
  ETIMEDOUT: 'connect_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
  UND_ERR_HEADERS_TIMEOUT: 'first_byte_timeout',
  UND_ERR_BODY_TIMEOUT: 'idle_timeout',
  UND_ERR_HEADERS_OVERFLOW: 'headers_too_large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'protocol',
  UND_ERR_SOCKET: 'reset',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  EMFILE: 'descriptors',
  ENFILE: 'descriptors',
  ENOBUFS: 'descriptors',
  EADDRNOTAVAIL: 'descriptors',
  UND_ERR_CLOSED: 'closed',
  UND_ERR_DESTROYED: 'closed',
};
const tlsCode =
  /^(?:ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH_|HOSTNAME_MISMATCH|ERROR_IN_CERT)/;
/** Failures that undici tells by message only. */
const protocolMessages: ReadonlySet<string> = new Set(['bad response', 'bad upgrade']);

/** The reason for an error of undici, Node or OpenSSL. */
export function upstreamFailure(cause: unknown): UpstreamFailure {
  if (!(cause instanceof Error)) return 'unknown';
  // Only the request's body stream fails with one.
  if (cause instanceof GatewayError) return 'request_body';
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (cause.name === 'HTTPParserError') return 'protocol';
  if (code === 'UND_ERR_SOCKET' && protocolMessages.has(cause.message)) return 'protocol';
  const known = failureOfCode[code];
  if (known !== undefined) return known;
  return tlsCode.test(code) ? 'tls' : 'unknown';
}

/** The error for a failure before the response head was sent. Its message names no address and no cause. */
export function upstreamError(reason: UpstreamFailure, thrown: unknown): GatewayError {
  if (reason === 'request_body' && thrown instanceof GatewayError) return thrown;
  const cause = withoutAnswer(thrown);
  switch (reason) {
    case 'connect_timeout':
    case 'first_byte_timeout':
    case 'idle_timeout':
      return new GatewayError(
        'upstream_timeout',
        'The server behind this gateway did not answer in time. Try again later.',
        {
          reason,
          cause,
        },
      );
    case 'descriptors':
      return overloadedBy(reason, 'This gateway has no connection left. Try again later.', { cause });
    case 'connect':
    case 'reset':
    case 'closed':
      return new GatewayError('bad_upstream', 'The server behind this gateway could not be reached. Try again later.', {
        reason,
        cause,
      });
    default:
      return new GatewayError(
        'bad_upstream',
        'The server behind this gateway gave no usable answer. Its operator has to look into it.',
        { reason, cause },
      );
  }
}

/** The cause for the operator's log; the client is not told. */
export function credentialRefused(upstream: string, status: number): Error {
  return new Error(
    `the upstream answered ${status}: it asks for a credential, or refuses the one that the gateway sends; check authorization or identity.assertion of upstreams.${upstream}, and what that server expects`,
  );
}

/** Removes the bytes of the response that undici's parser error carries: they are not for the log. */
function withoutAnswer(thrown: unknown): unknown {
  return thrown instanceof Error && thrown.name === 'HTTPParserError' ? new Error(thrown.message) : thrown;
}
