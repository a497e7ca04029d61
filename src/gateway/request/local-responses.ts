// Responses of the gateway's own, and the headers of every response.
import type { BodyLimits } from '../../http/body/body.ts';
import type { BodyBudgetLimits } from '../../http/body/budget.ts';
import { corsHeaders, preflightHeaders } from '../../http/cors.ts';
import { ownHeaders } from '../../http/problem.ts';
import { rateLimitHeaders } from '../../limits/take.ts';
import type { Answer, Route } from '../route.ts';
import type { Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

/** Sends the fixed response of a route without an upstream. */
export function respondLocally(context: RequestContext, route: Route, runtime: Runtime): void {
  const { method, path, response } = context;
  const { status, headers, body } = fixedAnswer(route.respond!(method, path), responseHeaders(context, runtime));
  context.bytes = method === 'HEAD' ? 0 : Buffer.byteLength(body);
  response.writeHead(status, headers);
  response.end(method === 'HEAD' ? undefined : body);
}

/** The fixed response of a route, with `extraHeaders` beside its own. */
export function fixedAnswer(answer: Answer, extraHeaders: Readonly<Record<string, string>> | undefined): Answer {
  const { status, headers, body } = answer;
  return {
    status,
    headers: {
      ...ownHeaders,
      ...extraHeaders,
      ...headers,
      // RFC 9110 §8.6: an answer that cannot have a body has no length.
      ...(status !== 204 && { 'content-length': String(Buffer.byteLength(body)) }),
    },
    body,
  };
}

/** Sends the response to a CORS preflight (Fetch standard §4.8). */
export function respondToPreflight(context: RequestContext, route: Route, runtime: Runtime): void {
  const { origin, request, response, snapshot } = context;
  response.writeHead(204, {
    ...ownHeaders,
    ...responseHeaders(context, runtime),
    ...preflightHeaders(origin ?? '*', {
      methods: route.methods,
      headers: [...snapshot.authenticators.keys.headers, ...route.forwardHeaders],
      requestedHeaders: request.headers['access-control-request-headers'],
    }),
  });
  response.end();
}

/** Headers of every response, refusals too. */
export function responseHeaders(
  { id, caller, origin, taken, upgrade }: RequestContext,
  runtime: Runtime,
): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': id, ...caller?.responseHeaders };
  if (taken !== undefined) Object.assign(headers, rateLimitHeaders(taken));
  if (origin !== undefined) Object.assign(headers, corsHeaders(origin));
  if (runtime.draining || upgrade !== undefined) headers.connection = 'close';
  return headers;
}

/** Limits of the request's body on its route. */
export function bodyLimitsOf({ route, snapshot }: Pick<RequestContext, 'route' | 'snapshot'>): BodyLimits {
  const { bodyBytes, receiveTimeout } = snapshot.config.server.limits;
  return { bodyBytes: route?.bodyBytes ?? bodyBytes, receiveTimeoutMs: receiveTimeout };
}

/** Limits of the bytes that bodies may hold. Requests without a credential have no more than half of them together. */
export function bodyBudgetOf({ caller, route, snapshot }: RequestContext): BodyBudgetLimits {
  const { bodyBytes, bodyBytesInAll, bodyBytesPerSubject } = snapshot.config.server.limits;
  return {
    bodyBytes: route?.bodyBytes ?? bodyBytes,
    bodyBytesPerSubject,
    bodyBytesInAll: caller === undefined ? bodyBytesInAll / 2 : bodyBytesInAll,
  };
}
