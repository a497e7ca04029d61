// Audit events of a request: the decision before it is carried out, its completion, and the end of a stream or connection.

import {
  type CallerPart,
  type DecisionPart,
  encodeCaller,
  encodeDecision,
  encodeMessage,
  encodeOther,
  encodeTrace,
  type MessagePart,
} from '../../audit/encode.ts';
import type { AuditEvent, AuditPrincipal, OtherDecision } from '../../audit/event.ts';
import type { Identity } from '../../authn/caller/principal.ts';
import type { Decision } from '../../policy/decision.ts';
import type { LastEncoding } from '../snapshot.ts';
import type { RequestContext } from './context.ts';
import { requestSpan } from './request-spans.ts';

/** The `decided` event: every required sink has it before anything is forwarded. `nowMs` is in milliseconds since 1970, here and below. */
export function decidedEvent(context: RequestContext, nowMs: number): AuditEvent {
  const { id, route, snapshot } = context;
  return {
    id,
    time: nowMs,
    stage: 'decided',
    encodedParts: encodeRequest(context),
    upstream: upstreamOf(route),
    policy: snapshot.hash,
  };
}

/** The end of a request. For a refused one it is the only record, written before the answer with the status it will have. */
export function completedEvent(context: RequestContext, nowMs: number, status: number | undefined): AuditEvent {
  const { decided, id, route, snapshot } = context;
  return {
    id,
    time: nowMs,
    stage: 'completed',
    encodedParts: decided?.event.encodedParts ?? encodeRequest(context),
    reason: context.error?.code,
    upstream: decided && upstreamOf(route, context.upstreamStatus),
    status,
    bytes: context.bytes,
    durationMs: durationOf(context),
    outcome: context.outcome,
    detail: context.error === undefined ? context.detail : context.error.detail,
    policy: snapshot.hash,
  };
}

/** The `stream` event of a stream that the gateway ended. `policy` is the configuration that ended it. */
export function streamEvent(
  context: RequestContext,
  ended: {
    readonly reason: string;
    /** The operator who ordered it. */
    readonly by: string | undefined;
    readonly bytes: number;
    readonly policy: string;
    readonly nowMs: number;
  },
): AuditEvent {
  const { decided, id, route, upstreamStatus } = context;
  return {
    id,
    time: ended.nowMs,
    stage: 'stream',
    encodedParts: decided?.event.encodedParts,
    reason: ended.reason,
    upstream: upstreamOf(route, upstreamStatus),
    bytes: ended.bytes,
    durationMs: durationOf(context),
    detail: { event: 'ended', by: ended.by },
    policy: ended.policy,
  };
}

function upstreamOf(route: RequestContext['route'], status?: number): AuditEvent['upstream'] {
  const name = route?.upstream?.target.name;
  return name === undefined ? undefined : { name, status };
}

/** Milliseconds since the request began. */
export function durationOf({ startedMs }: RequestContext): number {
  return Math.round((performance.now() - startedMs) * 1000) / 1000;
}

/** A connection that ended before a request could be read from it: a refused certificate, a head that is not HTTP. */
export function connectionEvent(of: {
  id: string;
  address: string;
  /** Only of a CONNECT request. */
  method?: string | undefined;
  reason: string;
  status: number | undefined;
  policy: string;
  nowMs: number;
}): AuditEvent {
  return {
    id: of.id,
    time: of.nowMs,
    stage: 'completed',
    client: { address: of.address },
    http: of.method === undefined ? undefined : { method: of.method, path: '' },
    decision: 'deny',
    reason: of.reason,
    status: of.status,
    outcome: 'refused',
    policy: of.policy,
  };
}

/** The target of a message, if it is no tool: a name, or all names where it names several things. Of methods for tasks the id of the task. */
function targetOf({
  target,
  named,
  mirroredName,
}: NonNullable<RequestContext['message']>): string | readonly string[] | undefined {
  const own = target?.kind === 'tool' ? undefined : (target?.name ?? mirroredName);
  if (named === undefined) return own;
  return [...(own === undefined ? [] : [own]), ...named.map(({ name }) => name)];
}

function encodeRequest(context: RequestContext): string {
  const last = lastEncodingOf(context);
  const parts = encodeCallerOf(context, last) + encodeMessage(messageOf(context)) + encodeDecisionOf(context, last);
  const [report] = context.decision?.reports ?? [];
  const trace = encodeTraceOf(context);
  if (report === undefined && context.shadow === undefined) return parts + trace;
  return parts + encodeOther('report', report && notEnforced(report)) + encodeOther('shadow', context.shadow) + trace;
}

function encodeTraceOf(context: RequestContext): string {
  if (context.trace === undefined) return '';
  const { traceId: id, spanId: span } = requestSpan(context, context.trace);
  return encodeTrace({ id, span });
}

/** A decision for the record that was not enforced. */
export function notEnforced(decision: Decision): OtherDecision {
  const { rule } = decision;
  if (decision.allow) return { rule, decision: 'allow' };
  const { missingScopes, reason, unmet } = decision;
  return { rule, decision: 'deny', reason, unmet, missing: missingScopes.length > 0 ? missingScopes : undefined };
}

function lastEncodingOf({ caller, snapshot }: RequestContext): LastEncoding | undefined {
  if (caller === undefined) return undefined;
  const { lastEncodings } = snapshot;
  let last = lastEncodings.get(caller.principal);
  if (last === undefined) {
    last = {};
    lastEncodings.set(caller.principal, last);
  }
  return last;
}

function encodeCallerOf(
  { caller, clientAddress, credentials, request, route }: RequestContext,
  last: LastEncoding | undefined,
): string {
  const userAgent = request.headers['user-agent'];
  const { of, text } = last?.caller ?? {};
  const same =
    of?.route === route?.name &&
    of?.client?.address === clientAddress &&
    of.client.userAgent === userAgent &&
    areSame(of.credentials, credentials, isSameCredential);
  if (same) return text!;
  const part: CallerPart = {
    route: route?.name,
    client: { address: clientAddress, userAgent },
    principal: recordOf(caller?.principal ?? credentials.at(-1)?.principal),
    credentials: credentials.length > 0 ? credentials : undefined,
  };
  const encoded = encodeCaller(part);
  if (last !== undefined) last.caller = { of: part, text: flat(encoded) };
  return encoded;
}

function encodeDecisionOf({ caller, decision, error }: RequestContext, last: LastEncoding | undefined): string {
  const granted = caller?.scopes ?? [];
  const required = decision?.requiredScopes ?? [];
  const { of, text } = last?.decision ?? {};
  const allowed = error === undefined && decision?.allow === true;
  const same =
    allowed &&
    of?.rule === decision.rule &&
    areSame(of?.scopes?.granted, granted) &&
    areSame(of?.scopes?.required, required);
  if (same) return text!;
  const missing = decision === undefined || decision.allow ? [] : decision.missingScopes;
  const part: DecisionPart = {
    scopes: decision && { granted, required, missing },
    decision: error === undefined ? 'allow' : 'deny',
    rule: decision?.rule,
  };
  const encoded = encodeDecision(part);
  if (last !== undefined && allowed) last.decision = { of: part, text: flat(encoded) };
  return encoded;
}

type Credential = NonNullable<CallerPart['credentials']>[number];

function isSameCredential(one: Credential, other: Credential): boolean {
  return one.kind === other.kind && one.authenticator === other.authenticator && one.id === other.id;
}

function areSame<T>(
  some: readonly T[] | undefined,
  others: readonly T[],
  isSame: (one: T, other: T) => boolean = Object.is,
): boolean {
  if (some === others) return true;
  return some?.length === others.length && some.every((one, index) => isSame(one, others[index]!));
}

/** Flattens a concatenated string, which V8 would otherwise flatten for each line that contains it. */
function flat(joined: string): string {
  return Buffer.from(joined).toString();
}

function messageOf({ auditArguments, message, method, path }: RequestContext): MessagePart {
  return {
    http: { method, path },
    mcp: message && {
      method: message.method,
      tool: message.target?.kind === 'tool' ? message.target.name : undefined,
      via: message.via,
      target: targetOf(message),
      arguments: auditArguments,
    },
  };
}

/** Of a refused request it is whom its token or key names, else its certificate, and only if the signature held. */
export function recordOf(principal: Identity | undefined): AuditPrincipal | undefined {
  if (principal === undefined) return undefined;
  const { tenant } = principal.claims;
  return {
    kind: principal.kind,
    issuer: principal.issuer,
    subject: principal.subject,
    clientId: principal.clientId,
    credentialId: principal.credentialId,
    tenant: typeof tenant === 'string' ? tenant : undefined,
  };
}
