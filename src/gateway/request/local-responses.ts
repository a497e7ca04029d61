// What the gateway answers by itself, and the headers of every answer.
import { corsHeaders, preflightHeaders } from '../../http/cors.ts';
import type { Exchange, Runtime } from '../runtime.ts';
import type { Route } from '../snapshot.ts';

export function answerItself(exchange: Exchange, route: Route, runtime: Runtime): void {
  const { method, response } = exchange;
  const { status, headers, body } = route.respond!(method);
  exchange.bytes = method === 'HEAD' ? 0 : Buffer.byteLength(body);
  response.writeHead(status, {
    ...responseHeaders(exchange, runtime),
    ...headers,
    // RFC 9110 §8.6: an answer that cannot have a body has no length.
    ...(status !== 204 && { 'content-length': String(Buffer.byteLength(body)) }),
  });
  response.end(method === 'HEAD' ? undefined : body);
}

export function answerPreflight(exchange: Exchange, route: Route, runtime: Runtime): void {
  const { origin, request, response, snapshot } = exchange;
  response.writeHead(204, {
    ...responseHeaders(exchange, runtime),
    ...preflightHeaders(origin ?? '*', {
      methods: route.methods,
      headers: [...snapshot.authenticators.keys.headers, ...(route.mcp?.forwardHeaders ?? [])],
      requestedHeaders: request.headers['access-control-request-headers'],
    }),
  });
  response.end();
}

/** Headers of every answer, refusals too. */
export function responseHeaders({ id, caller, origin }: Exchange, runtime: Runtime): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': id, ...caller?.responseHeaders };
  if (origin !== undefined) Object.assign(headers, corsHeaders(origin));
  if (runtime.draining) headers.connection = 'close';
  return headers;
}
