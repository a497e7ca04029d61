// Error responses: the one writer of every refusal and failure, as problem+json (RFC 9457) or as a JSON-RPC error.
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { challenge } from '../../http/challenge.ts';
import { hasBody } from '../../http/framing.ts';
import { problem } from '../../http/problem.ts';
import { jsonRpcError } from '../../mcp/json-rpc-error.ts';
import type { RequestContext } from './context.ts';

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
export function statusOfError(context: RequestContext, error: GatewayError): number {
  const policyDenial = error.code === 'denied' || error.code === 'condition_error';
  const toolCall = context.message?.method === 'tools/call' && context.message.kind === 'request';
  return policyDenial && toolCall && context.route?.mcp?.denials === 'rpc' ? 200 : error.status;
}

/**
 * Writes the refusal or failure to the client, with `extraHeaders` beside its own. Once a response head was sent nothing can be
 * said any more: the connection is destroyed, so that a cut answer never looks whole.
 */
export function writeError(
  context: RequestContext,
  error: GatewayError,
  extraHeaders: Readonly<Record<string, string>> | undefined,
): void {
  const { response } = context;
  if (response.destroyed || response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const rpc = context.route?.mcp !== undefined && context.method === 'POST';
  const body = rpc ? jsonRpcError(context.message?.id, error) : problem(error);
  const headers: Record<string, string> = {
    ...extraHeaders,
    ...error.headers,
    'content-type': rpc ? 'application/json' : 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
  };
  const asked = challenge(context.route?.challenge, error);
  if (asked !== undefined) headers['www-authenticate'] = asked;
  if (closing.has(error.code) || unreadBodyIsLarge(context)) headers.connection ??= 'close';
  response.writeHead(statusOfError(context, error), headers);
  response.end(body);
}

function unreadBodyIsLarge({ request }: RequestContext): boolean {
  if (request.complete || !hasBody(request)) return false;
  const length = request.headers['content-length'];
  return length === undefined || Number(length) > drainableBytes;
}
