// Gateway error: a stable code with its HTTP status, a public message, and a private cause for the log.

/** The stable error codes and their HTTP status. Clients and auditors rely on these words. */
export const statusOfCode = {
  bad_request: 400,
  bad_path: 400,
  duplicate_header: 400,
  ambiguous_credentials: 400,
  invalid_json: 400,
  invalid_jsonrpc: 400,
  header_mismatch: 400,
  credentials_required: 401,
  invalid_token: 401,
  invalid_api_key: 401,
  invalid_certificate: 401,
  insufficient_scope: 403,
  denied: 403,
  condition_error: 403,
  definition_changed: 403,
  origin_denied: 403,
  not_found: 404,
  session_not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  body_too_large: 413,
  url_too_long: 414,
  unsupported_media_type: 415,
  expectation_failed: 417,
  bad_host: 421,
  rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
  not_implemented: 501,
  bad_upstream: 502,
  idp_unavailable: 503,
  audit_unavailable: 503,
  state_unavailable: 503,
  overloaded: 503,
  upstream_timeout: 504,
} as const;

export type ErrorCode = keyof typeof statusOfCode;

/** Error codes of a DPoP challenge (RFC 9449 §7.1, §8). */
export type DpopError = 'invalid_token' | 'invalid_dpop_proof' | 'use_dpop_nonce';

/** Optional parts of a `GatewayError`. */
export interface GatewayErrorDetails {
  /** The reason, one word of a closed list, for metrics and the operator's log. Never sent. */
  readonly reason?: string;
  /** The scopes that the credential lacks, for `insufficient_scope`. */
  readonly missingScopes?: readonly string[];
  /** All scopes of the operation, granted ones included, for `insufficient_scope`. */
  readonly requiredScopes?: readonly string[];
  /** The error of the DPoP challenge, for a token of that scheme. */
  readonly dpopError?: DpopError;
  /** Further response headers, such as `Allow` or `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the audit record. Never sent. */
  readonly detail?: Readonly<Record<string, unknown>>;
  /** The original error. Logged, never sent. */
  readonly cause?: unknown;
}

/** A refusal or failure. `message` is public: it names the mistake and the remedy, and echoes no input. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly reason: string | undefined;
  readonly missingScopes: readonly string[];
  readonly requiredScopes: readonly string[];
  readonly dpopError: DpopError | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly detail: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, details: GatewayErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.status = statusOfCode[code];
    this.reason = details.reason;
    this.missingScopes = details.missingScopes ?? [];
    this.requiredScopes = details.requiredScopes ?? this.missingScopes;
    this.dpopError = details.dpopError;
    this.headers = details.headers ?? {};
    this.detail = details.detail;
  }
}

const fileProblems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is not a regular file',
  ELOOP: 'too many symbolic links',
  ERR_INVALID_ARG_VALUE: 'it is not a file name',
};

/** The reason why a file cannot be read, without its path, which the system's own message would repeat. */
export function fileProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : (fileProblems[code] ?? code);
}

/** A refusal because of load. `limit`, one word of a closed list, names the limit that is reached in record, log and metric. */
export function overloadedBy(
  limit: string,
  message: string,
  more?: Pick<GatewayErrorDetails, 'headers' | 'cause'>,
): GatewayError {
  const details = { reason: limit, detail: { limit }, headers: { 'retry-after': '1' }, ...more };
  return new GatewayError('overloaded', message, details);
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
