// JSON-RPC error responses: the answer to every refused POST on an MCP route.
import type { GatewayError } from '../errors.ts';
import { revisionUnstated } from './mirrored-headers.ts';

/** MCP 2026-07-28 reserves this code for headers that contradict the body. */
const headerMismatch = -32020;
/** The code of MCP 2026-07-28 for a body without its revision. */
const invalidParams = -32602;

/**
 * `id` is the JSON text of the request's id, where one was read. The error's `code` is the HTTP status it stands for, outside what JSON-RPC and MCP
 * reserve; `data.code` is the stable code, `data.scopes` the scopes that are missing, `data.retryAfterSeconds` the time after which a limit lets the call pass, `data.requestId` the id of the audit records.
 */
export function jsonRpcError(id: string | undefined, error: GatewayError, requestId: string): string {
  const { code, headers, message, missingScopes, status } = error;
  const scopes = missingScopes.length === 0 ? undefined : missingScopes;
  const retryAfterSeconds = code === 'rate_limited' ? Number(headers['retry-after']) : undefined;
  const body = {
    code: code === 'header_mismatch' ? mismatchCode(error) : status,
    message,
    data: { code, scopes, retryAfterSeconds, requestId },
  };
  return `{"jsonrpc":"2.0","id":${id ?? 'null'},"error":${JSON.stringify(body)}}`;
}

function mismatchCode({ reason }: GatewayError): number {
  return reason === revisionUnstated ? invalidParams : headerMismatch;
}
