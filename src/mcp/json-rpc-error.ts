// JSON-RPC error responses: the answer to every refused POST on an MCP route.
import type { GatewayError } from '../errors.ts';

/** MCP 2026-07-28 reserves this code for headers that contradict the body. */
const headerMismatch = -32020;

/**
 * `id` is that of the request, where one was read. The error's `code` is the HTTP status it stands for, outside what JSON-RPC and MCP reserve;
 * `data.code` is the stable code, `data.scopes` the scopes that are missing, `data.requestId` the id of the audit records.
 */
export function jsonRpcError(id: string | number | null | undefined, error: GatewayError, requestId: string): string {
  const scopes = error.missingScopes.length === 0 ? undefined : error.missingScopes;
  return JSON.stringify({
    jsonrpc: '2.0',
    id: id ?? null,
    error: {
      code: error.code === 'header_mismatch' ? headerMismatch : error.status,
      message: error.message,
      data: { code: error.code, scopes, requestId },
    },
  });
}
