// From the record of one request to its audit records: what was decided before forwarding, and how it ended.
import type { Principal } from '../authn/principal.ts';
import type { Exchange } from '../http/exchange.ts';
import { encodeFacts, encodeList, encodePrincipal, type RequestFacts } from './encode.ts';
import type { AuditEvent, AuditPrincipal } from './event.ts';

/** What many records have in common, encoded once: a remembered token comes with the same principal and scopes every time. */
export interface RecordTexts {
  readonly principals: WeakMap<Principal, string>;
  readonly listOf: (items: readonly string[]) => string;
}

export function createRecordTexts(): RecordTexts {
  const lists = new WeakMap<readonly string[], string>();
  return {
    principals: new WeakMap(),
    listOf(items) {
      if (items.length === 0) return '[]';
      let text = lists.get(items);
      if (text === undefined) {
        text = encodeList(items);
        lists.set(items, text);
      }
      return text;
    },
  };
}

/** Everything known once the decision is made; written before anything is forwarded. */
export function decidedEvent(exchange: Exchange, policy: string, nowMs: number, texts: RecordTexts): AuditEvent {
  const { id, route } = exchange;
  const upstream = route?.upstreamName === undefined ? undefined : { name: route.upstreamName };
  return {
    id,
    time: nowMs,
    stage: 'decided',
    facts: encodeRequest(exchange, texts),
    upstream,
    policy,
  };
}

/** How the request ended. For a refused one it is the only record, written before the answer with the status it will have. */
export function completedEvent(
  exchange: Exchange,
  policy: string,
  nowMs: number,
  status: number | undefined,
  texts: RecordTexts,
): AuditEvent {
  const { decided, id, route } = exchange;
  return {
    id,
    time: nowMs,
    stage: 'completed',
    facts: decided?.facts ?? encodeRequest(exchange, texts),
    reason: exchange.error?.code,
    upstream:
      decided !== undefined && route?.upstreamName !== undefined
        ? { name: route.upstreamName, status: exchange.upstreamStatus }
        : undefined,
    status,
    bytes: exchange.bytes,
    durationMs: durationOf(exchange),
    outcome: exchange.outcome,
    detail: exchange.error === undefined ? exchange.detail : exchange.error.detail,
    policy,
  };
}

/** The gateway ended an event stream whose right ended. `policy` is the configuration that says so. */
export function streamEvent(
  exchange: Exchange,
  ended: { readonly reason: string; readonly bytes: number; readonly policy: string; readonly nowMs: number },
): AuditEvent {
  const { decided, id, route, upstreamStatus } = exchange;
  return {
    id,
    time: ended.nowMs,
    stage: 'stream',
    facts: decided?.facts,
    reason: ended.reason,
    upstream: route?.upstreamName === undefined ? undefined : { name: route.upstreamName, status: upstreamStatus },
    bytes: ended.bytes,
    durationMs: durationOf(exchange),
    detail: { event: 'ended' },
    policy: ended.policy,
  };
}

function durationOf({ startedMs }: Exchange): number {
  return Math.round((performance.now() - startedMs) * 1000) / 1000;
}

/** A connection that ended before a request could be read from it: a refused certificate, a head that is not HTTP. */
export function connectionEvent(of: {
  id: string;
  address: string;
  /** Known of a tunnel that was asked for. */
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

function factsOf(exchange: Exchange): RequestFacts {
  const { caller, decision, message, route } = exchange;
  return {
    route: route?.name,
    client: { address: exchange.clientAddress, userAgent: exchange.request.headers['user-agent'] },
    credentials: exchange.credentials.length > 0 ? exchange.credentials : undefined,
    http: { method: exchange.method, path: exchange.path },
    mcp: message && {
      method: message.method,
      tool: message.target?.kind === 'tool' ? message.target.name : undefined,
      via: message.via,
      target: targetOf(message),
      arguments: exchange.auditArguments,
    },
    scopes: decision && {
      granted: caller?.scopes ?? [],
      required: decision.requiredScopes,
      missing: decision.allow ? [] : decision.missingScopes,
    },
    decision: exchange.error === undefined ? 'allow' : 'deny',
    rule: decision?.rule,
  };
}

/** What a message is about besides a tool. */
function targetOf({ target, subscribed }: NonNullable<Exchange['message']>): string | readonly string[] | undefined {
  if (subscribed !== undefined) return subscribed.map(({ name }) => name);
  return target?.kind === 'tool' ? undefined : target?.name;
}

function encodeRequest(exchange: Exchange, { principals, listOf }: RecordTexts): string {
  return encodeFacts(factsOf(exchange), textOf(exchange.caller?.principal, principals), listOf);
}

function textOf(principal: Principal | undefined, principals: RecordTexts['principals']): string | undefined {
  if (principal === undefined) return undefined;
  let text = principals.get(principal);
  if (text === undefined) {
    text = encodePrincipal(recordOf(principal));
    principals.set(principal, text);
  }
  return text;
}

function recordOf(principal: Principal): AuditPrincipal {
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
