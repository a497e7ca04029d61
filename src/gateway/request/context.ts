// The record of one request: the only mutable thing on the path. Opened when the head was read, closed exactly once.
import { randomUUID, type X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuditEvent } from '../../audit/event.ts';
import type { CredentialRecord } from '../../authn/credential.ts';
import type { Caller } from '../../authn/principal.ts';
import type { GatewayError } from '../../errors.ts';
import type { ChallengeSource } from '../../http/challenge.ts';
import type { McpMessage } from '../../mcp/message.ts';
import type { ClientSession } from '../../mcp/session.ts';
import type { Decision } from '../../policy/decision.ts';
import type { Place } from '../../upstream/concurrency.ts';

/** What the HTTP room needs to know of the matched route. */
export interface RouteView {
  readonly name: string;
  readonly upstreamName: string | undefined;
  /** MCP routes answer POST errors as JSON-RPC. */
  readonly mcp: { readonly denials: 'rpc' | 'http' } | undefined;
  /** The challenge without error parameters, or undefined where no credential is asked for. */
  readonly challenge: ChallengeSource | undefined;
}

/** `S` is the configuration snapshot that the request uses to its end, `R` its compiled route. */
export interface Exchange<S = unknown, R extends RouteView = RouteView> {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Monotonic milliseconds, for durations. */
  readonly startedMs: number;
  readonly snapshot: S;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly clientAddress: string;
  /** Without the query; empty until the target was found to be in plain form. */
  path: string;
  query: string;
  route: R | undefined;
  caller: Caller | undefined;
  /** The certificate that came with the request, whatever it was good for. */
  certificate: X509Certificate | undefined;
  /** What was presented, verified or not, for the record of a refused request. */
  readonly credentials: CredentialRecord[];
  message: McpMessage | undefined;
  /** The session that the request belongs to, verified. */
  session: ClientSession | undefined;
  decision: Decision | undefined;
  /** What `mcp.audit.arguments` lets the record tell of the call's arguments. */
  auditArguments: unknown;
  /** What the record of the end tells besides, where no refusal has a detail of its own. */
  detail: Readonly<Record<string, unknown>> | undefined;
  /** The `decided` record, once it is written: from then on a `completed` record is owed. */
  decided: AuditEvent | undefined;
  /** Its share of what the upstream may have to bear at once; given back when the exchange ends. */
  place: Place | undefined;
  /** The refusal or failure that ended the request. */
  error: GatewayError | undefined;
  upstreamStatus: number | undefined;
  bytes: number;
  outcome: 'completed' | 'refused' | 'aborted' | 'failed' | undefined;
  /** An Origin that was checked and may read the answer. */
  origin: string | undefined;
  /** How many of its two ends have come: the path's and the response's. */
  ends: number;
  /** The completion record was written or is being written. */
  recorded: boolean;
}

export function openExchange<S, R extends RouteView>(
  snapshot: S,
  request: IncomingMessage,
  response: ServerResponse,
  clientAddress: string,
  nowMs: number,
): Exchange<S, R> {
  return {
    id: randomUUID(),
    startedAt: nowMs,
    startedMs: performance.now(),
    snapshot,
    request,
    response,
    method: request.method ?? '',
    clientAddress,
    path: '',
    query: '',
    route: undefined,
    caller: undefined,
    certificate: undefined,
    credentials: [],
    message: undefined,
    session: undefined,
    decision: undefined,
    auditArguments: undefined,
    detail: undefined,
    decided: undefined,
    place: undefined,
    error: undefined,
    upstreamStatus: undefined,
    bytes: 0,
    outcome: undefined,
    origin: undefined,
    ends: 0,
    recorded: false,
  };
}
