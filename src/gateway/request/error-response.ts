// Error responses: every refusal and failure, as problem details (RFC 9457) or as a JSON-RPC error.
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { challenge } from '../../http/challenge.ts';
import { hasBody } from '../../http/framing.ts';
import { ownHeaders, problem } from '../../http/problem.ts';
import { jsonRpcError } from '../../mcp/json-rpc-error.ts';
import { type Answer, challengeAt } from '../route.ts';
import type { RequestContext } from './context.ts';

/** Errors that close the connection: the rest of the request is ambiguous or unwanted, or the connection itself is at fault. */
const closing = new Set<ErrorCode>([
  'bad_request',
  'bad_path',
  'bad_host',
  'body_too_large',
  'headers_too_large',
  'url_too_long',
  'request_timeout',
  'not_implemented',
  'expectation_failed',
  'duplicate_header',
  'invalid_certificate',
]);
/** Refusals of a call that a model can act on. */
const readByModels = new Set<ErrorCode>(['denied', 'condition_error', 'definition_changed', 'rate_limited']);
const drainableBytes = 65_536;

/** The refusal of a stranger above the limit of its address. In place of another one it closes the connection where that one does. */
export function rateLimited(other?: GatewayError): GatewayError {
  return new GatewayError(
    'rate_limited',
    'Too many requests from this address were refused or failed. Try again later.',
    {
      headers: { 'retry-after': '1', ...(other !== undefined && closing.has(other.code) && { connection: 'close' }) },
    },
  );
}

/** The public error for any thrown value; `internal_error` with a private cause for an unexpected one. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('internal_error', 'The gateway failed on this request. Its log names the cause.', {
    cause: thrown,
  });
}

/** The status of the error response. A denied or limited tools/call under `denials: rpc` has 200, so that a model can read it. */
export function statusOfError(context: Pick<RequestContext, 'message' | 'route'>, error: GatewayError): number {
  const toolCall = context.message?.method === 'tools/call' && context.message.kind === 'request';
  return readByModels.has(error.code) && toolCall && context.route?.mcp?.denials === 'rpc' ? 200 : error.status;
}

/** The facts of a request that its error response depends on. */
export type RefusedRequest = Pick<RequestContext, 'id' | 'credentials' | 'message' | 'method' | 'path' | 'route'>;

/** The error response, with `extraHeaders` beside its own. `rpcId` is the JSON text of the id of the JSON-RPC request. */
export function errorAnswer(
  request: RefusedRequest,
  error: GatewayError,
  rpcId: string | undefined,
  extraHeaders: Readonly<Record<string, string>> | undefined,
): Answer {
  const { credentials, id, method, path, route } = request;
  const rpc = route?.mcp !== undefined && method === 'POST';
  const body = rpc ? jsonRpcError(rpcId, error, id) : problem(error, id);
  const headers: Record<string, string> = {
    ...ownHeaders,
    ...extraHeaders,
    ...error.headers,
    'content-type': rpc ? 'application/json' : 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
  };
  const asked = challenge(route && challengeAt(path, route), error, credentials.at(-1)?.authenticator);
  if (asked !== undefined) headers['www-authenticate'] = asked;
  if (closing.has(error.code)) headers.connection ??= 'close';
  return { status: statusOfError(request, error), headers, body };
}

/** Writes the error response. When the head of another response was sent, destroys the connection, so that a cut response never looks complete. */
export function writeError(
  context: RequestContext,
  error: GatewayError,
  rpcId: string | undefined,
  extraHeaders: Readonly<Record<string, string>> | undefined,
): void {
  const { response } = context;
  if (response.destroyed || response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, headers, body } = errorAnswer(context, error, rpcId, extraHeaders);
  response.writeHead(
    status,
    unreadBodyIsLarge(context) ? { ...headers, connection: headers.connection ?? 'close' } : headers,
  );
  response.end(body);
}

function unreadBodyIsLarge({ request }: RequestContext): boolean {
  if (request.complete || !hasBody(request)) return false;
  const length = request.headers['content-length'];
  return length === undefined || Number(length) > drainableBytes;
}
