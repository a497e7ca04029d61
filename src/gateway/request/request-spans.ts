// Spans of one request by the semantic conventions of OpenTelemetry for HTTP and MCP, without arguments, tokens and queries.
import { GatewayError } from '../../errors.ts';
import { METHODS } from '../../http/node-http.ts';
import { methodOf } from '../../mcp/methods.ts';
import { addStep, beginSpan, given, type RequestTrace, type SpanAttributes } from '../../telemetry/request-trace.ts';
import { parseTraceContext, type RemoteContext } from '../../telemetry/trace-context.ts';
import { type OpenSpan, type RequestSpan, traceHeaders } from '../../telemetry/tracing.ts';
import type { ForwardResult } from '../../upstream/forward.ts';
import type { Route } from '../route.ts';
import type { RequestContext, RequestLog } from './context.ts';

/** The span of a traced request; the first call begins it. */
export function requestSpan(context: RequestContext, trace: RequestTrace): RequestSpan {
  if (trace.span !== undefined) return trace.span;
  const { traceparent, tracestate } = context.request.headers;
  const fromHeaders = parseTraceContext(asText(traceparent), asText(tracestate));
  const inBody = context.message?.traceContext;
  const fromBody = inBody && parseTraceContext(inBody.traceparent, inBody.tracestate);
  return beginSpan(trace, {
    parent: fromBody ?? fromHeaders,
    linked: fromBody && isOther(fromBody, fromHeaders) ? fromHeaders : undefined,
    trusted: context.caller !== undefined,
    startMs: context.startedMs,
  });
}

function asText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join() : value;
}

function isOther(one: RemoteContext, other: RemoteContext | undefined): boolean {
  return one.traceId !== other?.traceId || one.spanId !== other.spanId;
}

/** The log of a traced request: its lines have the trace id. */
export function tracedLog(log: RequestLog, context: RequestContext, trace: RequestTrace): RequestLog {
  const write = (level: keyof RequestLog) => (fields: object, message: string) =>
    log[level]({ ...fields, traceId: requestSpan(context, trace).traceId }, message);
  return { debug: write('debug'), warn: write('warn'), error: write('error') };
}

/** Labels of an exemplar; undefined for a trace that is not kept. */
export function exemplarOf({ trace }: RequestContext): { trace_id: string; span_id: string } | undefined {
  const span = trace?.span;
  return span?.sampled === true ? { trace_id: span.traceId, span_id: span.spanId } : undefined;
}

/** The spans of steps, by the step's name; undefined where the step had nothing to do. */
const stepSpans: Readonly<
  Record<string, { readonly name: string; attributes(context: RequestContext): SpanAttributes | undefined }>
> = {
  authenticate: {
    name: 'authenticate',
    attributes: ({ caller, credentials, route }) =>
      route?.requirements.kind === 'none'
        ? undefined
        : {
            'portcullis.credentials': credentials.map(({ kind }) => kind),
            'portcullis.authenticators': credentials.flatMap(({ authenticator }) => authenticator ?? []),
            'portcullis.client.id': caller?.principal.clientId,
          },
  },
  readBody: { name: 'receive body', attributes: ({ body }) => body && { 'http.request.body.size': body.length } },
  authorize: { name: 'decide', attributes: decisionAttributes },
  checkLimits: {
    name: 'check limits',
    attributes: ({ taken }) => taken && { 'portcullis.limits': taken.map(({ limit }) => limit.name) },
  },
  obtainUpstreamCredential: {
    name: 'obtain upstream credential',
    attributes: ({ route }) => (route?.upstream?.authorize === undefined && route?.pins === undefined ? undefined : {}),
  },
  recordDecision: { name: 'write audit record', attributes: () => ({}) },
};

function decisionAttributes({ decision, snapshot }: RequestContext): SpanAttributes {
  const denied = decision?.allow === false ? decision : undefined;
  return {
    'portcullis.policy': snapshot.hash,
    'portcullis.decision': decision && (decision.allow ? 'allow' : 'deny'),
    'portcullis.rule': decision?.rule,
    'portcullis.reason': denied?.reason,
    'portcullis.unmet': denied?.unmet,
    'portcullis.scopes.missing': denied?.missingScopes,
  };
}

/** Ends the current step of a traced request; the next one begins. */
export function stepEnded(context: RequestContext, trace: RequestTrace, step: string, thrown?: unknown): void {
  const { stepMs: startMs } = trace;
  trace.stepMs = performance.now();
  if (trace.span?.sampled === false) return;
  const { name, attributes: attributesOf } = stepSpans[step] ?? {};
  const attributes = attributesOf?.(context);
  if (name === undefined || attributes === undefined) return;
  const error = thrown === undefined ? undefined : codeOf(thrown);
  addStep(trace, { name, startMs, endMs: trace.stepMs, attributes, error });
}

/** The record of a refusal, which the answer waits for. */
export async function traceRefusalRecord(context: RequestContext, write: () => Promise<void>): Promise<void> {
  const { trace } = context;
  if (trace === undefined) return write();
  trace.stepMs = performance.now();
  try {
    await write();
    stepEnded(context, trace, 'recordDecision');
  } catch (error) {
    stepEnded(context, trace, 'recordDecision', error);
    throw error;
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof GatewayError ? thrown.code : 'internal_error';
}

/** Begins the span of the request to the upstream, and yields it with the headers that carry it on. */
export function traceUpstream(
  context: RequestContext,
  trace: RequestTrace,
): { readonly headers: readonly string[]; readonly span: OpenSpan | undefined } {
  const request = requestSpan(context, trace);
  const span = request.child(nameOf(context), 'client', performance.now());
  return { headers: traceHeaders(request, span), span };
}

/** Ends the span of the request to the upstream once it is over: a stream ends with its last byte. */
export async function untilForwarded(
  span: OpenSpan,
  forwarded: Promise<ForwardResult>,
  context: RequestContext,
  route: Route,
): Promise<ForwardResult> {
  try {
    const result = await forwarded;
    endUpstream(span, context, route, result.failure);
    return result;
  } catch (error) {
    endUpstream(span, context, route, error instanceof GatewayError ? (error.reason ?? error.code) : 'internal_error');
    throw error;
  }
}

function endUpstream(span: OpenSpan, context: RequestContext, route: Route, failure: string | undefined): void {
  const { method, path, upstreamStatus: status } = context;
  const { paths, target } = route.upstream!;
  const attributes = given({
    ...mcpAttributes(context),
    ...serverAttributes(target.origin),
    'http.request.method': methodName(method),
    'http.response.status_code': status,
    'url.full': target.origin + target.basePath + paths.toUpstream(path),
    'network.protocol.name': 'http',
    'portcullis.upstream': target.name,
  });
  // Of a client 4xx is an error too.
  span.end({ attributes, error: failure ?? (status !== undefined && status >= 400 ? String(status) : undefined) });
}

function serverAttributes(origin: string): SpanAttributes {
  const { hostname, port, protocol } = new URL(origin);
  return { 'server.address': hostname, 'server.port': Number(port || (protocol === 'https:' ? 443 : 80)) };
}

/**
 * Ends the span of a request that is complete, streams and WebSockets included. One that belongs to a sum of its address has none: strangers fill no
 * queue.
 */
export function endTrace(context: RequestContext, trace: RequestTrace, status: number | undefined): void {
  if (trace.span === undefined && context.caller === undefined && context.decided === undefined) return;
  const span = requestSpan(context, trace);
  if (!span.sampled) return;
  const { clientAddress, error, id, message, method, outcome, path, request, route, snapshot } = context;
  const { publicUrl } = snapshot.config.server;
  const attributes = given({
    ...mcpAttributes(context),
    ...serverAttributes(publicUrl),
    'http.request.method': methodName(method),
    'http.response.status_code': status,
    'http.route': route?.path,
    'url.path': path || undefined,
    'url.scheme': publicUrl.slice(0, publicUrl.indexOf(':')),
    'client.address': clientAddress,
    'user_agent.original': request.headers['user-agent'],
    'network.transport': 'tcp',
    'network.protocol.name': 'http',
    'network.protocol.version': request.httpVersion,
    'portcullis.request.id': id,
    'portcullis.route': route?.name,
    'portcullis.client.id': context.caller?.principal.clientId,
    'portcullis.outcome': outcome,
    'portcullis.code': error?.code,
  });
  // Of HTTP alone a refusal is no error of the server; of MCP it is the failure of the operation.
  const failed = error !== undefined && (message !== undefined || error.status >= 500) ? error.code : undefined;
  span.end({ name: nameOf(context), attributes, error: failed });
}

/** The tool is part of the name where the rules or the preset name it, so that callers make no names. */
function nameOf({ message, method, route }: RequestContext): string {
  const mcpMethod = message?.method;
  if (mcpMethod === undefined) return route === undefined ? methodName(method) : `${methodName(method)} ${route.path}`;
  if (methodOf(mcpMethod) === undefined) return 'mcp';
  const tool = message?.target?.kind === 'tool' ? message.target.name : undefined;
  return tool !== undefined && route?.policy.toolNames.has(tool) ? `${mcpMethod} ${tool}` : mcpMethod;
}

const methodNames = new Set(METHODS);

function methodName(method: string): string {
  return methodNames.has(method) ? method : '_OTHER';
}

function mcpAttributes({ message, request }: RequestContext): SpanAttributes {
  if (message === undefined) return {};
  const { id, kind, method, protocolVersion, target, via } = message;
  const named = (wanted: typeof kind | 'tool' | 'prompt' | 'resource') =>
    target?.kind === wanted ? target.name : undefined;
  return {
    'mcp.method.name': method,
    'mcp.protocol.version': protocolVersion ?? asText(request.headers['mcp-protocol-version']),
    'jsonrpc.request.id': kind === 'request' ? id?.replace(/^"|"$/g, '') : undefined,
    'gen_ai.operation.name': method === 'tools/call' ? 'execute_tool' : undefined,
    'gen_ai.tool.name': named('tool'),
    'gen_ai.prompt.name': named('prompt'),
    'mcp.resource.uri': named('resource')?.replace(/[?#].*$/s, ''),
    'portcullis.via': via,
  };
}
