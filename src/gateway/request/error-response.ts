// The only writer of errors: every throw on the path ends here and leaves as problem+json or as a JSON-RPC error.
import { STATUS_CODES } from 'node:http';
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { challenge } from '../../http/challenge.ts';
import { hasBody } from '../../http/framing.ts';
import type { Exchange } from './context.ts';

/** Renders a JSON-RPC error object; the MCP room's, given to this room as an argument. */
export type RenderRpcError = (id: string | number | null | undefined, error: GatewayError) => string;

/** After these the rest of the request cannot be trusted or is not wanted, or the connection itself is at fault: it ends. */
const closing = new Set<ErrorCode>([
  'bad_request',
  'bad_path',
  'body_too_large',
  'headers_too_large',
  'url_too_long',
  'request_timeout',
  'not_implemented',
  'expectation_failed',
  'upgrade_refused',
  'duplicate_header',
  'invalid_certificate',
]);
const drainableBytes = 65_536;

/** Any thrown value as the error a client may see; what was not foreseen is `internal_error` with a private cause. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('internal_error', 'The gateway failed on this request. Its log names the cause.', {
    cause: thrown,
  });
}

/** The status that `writeError` will answer with. A denied tools/call under `denials: rpc` is 200, which a model can read. */
export function statusOfError(exchange: Exchange, error: GatewayError): number {
  const policyDenial = error.code === 'denied' || error.code === 'condition_error';
  const toolCall = exchange.message?.method === 'tools/call' && exchange.message.kind === 'request';
  return policyDenial && toolCall && exchange.route?.mcp?.denials === 'rpc' ? 200 : error.status;
}

/**
 * Writes the refusal or failure to the client, with `extraHeaders` beside its own. Once a response head was sent nothing can be
 * said any more: the connection is destroyed, so that a cut answer never looks whole.
 */
export function writeError(
  exchange: Exchange,
  error: GatewayError,
  renderRpcError: RenderRpcError,
  extraHeaders: Readonly<Record<string, string>> | undefined,
): void {
  const { response } = exchange;
  if (response.destroyed || response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const rpc = exchange.route?.mcp !== undefined && exchange.method === 'POST';
  const body = rpc ? renderRpcError(exchange.message?.id, error) : problem(error);
  const headers: Record<string, string> = {
    ...extraHeaders,
    ...error.headers,
    'content-type': rpc ? 'application/json' : 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
  };
  const asked = challenge(exchange.route?.challenge, error);
  if (asked !== undefined) headers['www-authenticate'] = asked;
  if (closing.has(error.code) || unreadBodyIsLarge(exchange)) headers.connection ??= 'close';
  response.writeHead(statusOfError(exchange, error), headers);
  response.end(body);
}

/** RFC 9457. */
export function problem(error: GatewayError): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[error.status],
    status: error.status,
    code: error.code,
    detail: error.message,
  });
}

function unreadBodyIsLarge({ request }: Exchange): boolean {
  if (request.complete || !hasBody(request)) return false;
  const length = request.headers['content-length'];
  return length === undefined || Number(length) > drainableBytes;
}
