// Messages of the upstream that the route does not let pass: counted, recorded, and where they are requests refused on the client's behalf.
import { GatewayError } from '../../errors.ts';
import { jsonRpcError } from '../../mcp/json-rpc-error.ts';
import type { AnswerOptions } from '../../mcp/response/answer-filter.ts';
import { type ServerRequestOptions, serverRequestMethods } from '../../mcp/response/server-request-filter.ts';
import { askUpstream } from '../../upstream/ask.ts';
import type { Route, RouteUpstream } from '../route.ts';
import type { Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

/** Makes the Authorization header for the upstream. */
type Authorize = (context: RequestContext, route: Route, runtime: Runtime) => Promise<string | undefined>;

const answerTimeoutMs = 5000;
const maxAnswerBytes = 64 * 1024;
/** Of one response; further ones are withheld without an answer. */
const maxOpenAnswers = 8;
/** JSON-RPC 2.0 §4: a string or a number. */
const plainId = /^(?:".{0,1024}"|-?[0-9][0-9.eE+-]{0,40})$/;
const labels: ReadonlySet<string> = new Set(serverRequestMethods);

/** The filter options of one response; undefined where the route lets all requests pass. */
export function serverRequestsOf(
  context: RequestContext,
  route: Route,
  runtime: Runtime,
  authorize: Authorize,
): ServerRequestOptions | undefined {
  const allowed = route.mcp?.serverRequests;
  if (allowed === undefined) return undefined;
  let open = 0;
  return {
    allowed: new Set(allowed),
    withheld(method, id) {
      const label = labels.has(method) ? method : 'other';
      if (countWithheld(label, context, route, runtime) === 1)
        context.log.warn(
          { method: label },
          'a request of the upstream to its client was withheld (mcp.serverRequests)',
        );
      if (id === undefined || !plainId.test(id) || open >= maxOpenAnswers) return;
      open += 1;
      answer(id, context, route, runtime, authorize)
        .catch((cause: unknown) => context.log.warn({ err: cause }, 'a withheld request could not be answered'))
        .finally(() => {
          open -= 1;
        });
    },
    refusal: (id) => jsonRpcError(id, refusal(), context.id),
  };
}

/** The filter options of one response on a pinned route: only the result of the request itself passes. */
export function answersOf(context: RequestContext, route: Route, runtime: Runtime): AnswerOptions {
  const { message } = context;
  return {
    id: message?.kind === 'request' ? message.id : undefined,
    withheld() {
      if (countWithheld('result', context, route, runtime) === 1)
        context.log.warn({}, 'the result of another request than this one was withheld (mcp.catalog)');
    },
  };
}

/** Yields how many the response has had so far. */
function countWithheld(label: string, context: RequestContext, route: Route, runtime: Runtime): number {
  const before = (context.detail?.withheld ?? {}) as Readonly<Record<string, number>>;
  const count = (before[label] ?? 0) + 1;
  runtime.metrics.serverRequestWithheld(route.name, label);
  context.detail = { ...context.detail, withheld: { ...before, [label]: count } };
  return count;
}

function refusal(): GatewayError {
  return new GatewayError(
    'denied',
    'To answer this call the server asks its client for something that this gateway does not let pass. Call it in another way, or ask the operator of this gateway.',
    { reason: 'server_request' },
  );
}

/** Answers the upstream in the session as a client does that lacks the method. */
async function answer(
  id: string,
  context: RequestContext,
  route: Route,
  runtime: Runtime,
  authorize: Authorize,
): Promise<void> {
  const { caller, clientAddress, request, session } = context;
  const { paths, shapeRequest, target } = route.upstream as RouteUpstream;
  const authorization = await authorize(context, route, runtime);
  const version = request.headers['mcp-protocol-version'];
  const rawHeaders = ['accept', 'application/json, text/event-stream', 'content-type', 'application/json'];
  if (typeof version === 'string') rawHeaders.push('mcp-protocol-version', version);
  const headers = shapeRequest({
    ...{ rawHeaders, caller, authorization, clientAddress, requestId: context.id },
    session: session && { ...session, lastEventId: undefined },
  });
  await askUpstream(target, {
    path: paths.toUpstream(context.path),
    method: 'POST',
    headers,
    body: `{"jsonrpc":"2.0","id":${id},"error":{"code":-32601,"message":"Method not found"}}`,
    timeoutMs: answerTimeoutMs,
    maxBytes: maxAnswerBytes,
    signal: new AbortController().signal,
    take: () => false,
  });
}
