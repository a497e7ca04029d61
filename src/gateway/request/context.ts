// Request context: the mutable state of one request, from its head to its completion.
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { AuditEvent, OtherDecision } from '../../audit/event.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import type { Revocations } from '../../authn/caller/revocations.ts';
import type { CredentialRecord } from '../../authn/credential.ts';
import type { GatewayError } from '../../errors.ts';
import type { RouteMatch } from '../../http/route-matcher.ts';
import { callerNetwork } from '../../ip-ranges.ts';
import type { Taken } from '../../limits/take.ts';
import type { McpMessage } from '../../mcp/message.ts';
import type { ClientSession } from '../../mcp/session.ts';
import type { Decision, Denied } from '../../policy/decision.ts';
import { createRequestTrace, type RequestTrace } from '../../telemetry/request-trace.ts';
import type { Slot } from '../../upstream/concurrency.ts';
import type { Route } from '../route.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Placed } from '../unordered-set.ts';

/** The log of a request. */
export type RequestLog = Record<'debug' | 'warn' | 'error', (fields: object, message: string) => void>;

/** An allowed call of something whose definition is not the recorded one. */
export type DefinitionRefusal = Omit<Denied, 'reason'> & { readonly reason: 'definition_changed' };

/** The state of one request, the one mutable record of it. */
export interface RequestContext extends Placed {
  readonly id: string;
  /** The operator's log, whose lines name the request. */
  log: RequestLog;
  /** Monotonic milliseconds, for durations. */
  readonly startedMs: number;
  /** The snapshot that the request uses to its end. */
  readonly snapshot: Snapshot;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The socket of a request that offers the WebSocket protocol where its route has it; undefined for every other. */
  readonly upgrade: UpgradeOffer | undefined;
  readonly method: string;
  readonly clientAddress: string;
  /** Path of the target without the query; empty until `matchRoute` has parsed the target. */
  path: string;
  query: string;
  match: RouteMatch<Route>;
  /** The matched route. */
  route: Route | undefined;
  caller: Caller | undefined;
  /** Key of the subject that limits count; the address, or its /64, until and unless a caller is known. */
  subject: string;
  /** The client certificate of the request, also one that only binds a token. */
  certificate: X509Certificate | undefined;
  /** The first instant at which a credential of the caller has expired; milliseconds since 1970. */
  expiresAt: number;
  /** The revocations that the credentials were last checked against. */
  checkedRevocations: Revocations | undefined;
  /** The snapshot whose authenticators last accepted the credentials. */
  checkedSnapshot: Snapshot;
  /** The presented credentials, verified or not, for the record of a refused request. */
  readonly credentials: CredentialRecord[];
  /** The body of a request on an MCP route, whole. */
  body: Buffer | undefined;
  /** A connection to the upstream may still read the memory of the body. */
  bodyInUse: boolean;
  /** Bytes of the body in the budget of all bodies, until the request is complete. */
  reservedBytes: number;
  message: McpMessage | undefined;
  /** The session that the request belongs to, verified. */
  session: ClientSession | undefined;
  decision: Decision | DefinitionRefusal | undefined;
  /** The limits that the request was taken from; undefined where it is under none. */
  taken: readonly Taken[] | undefined;
  /** The decision of the shadow, where it differs. */
  shadow: OtherDecision | undefined;
  /** The Authorization header made for the upstream. */
  authorization: string | undefined;
  /** The call's arguments, as far as `mcp.audit.arguments` lets the record have them. */
  auditArguments: unknown;
  /** The `detail` of the completion record, if no refusal has one. */
  detail: Readonly<Record<string, unknown>> | undefined;
  /** The steps of the pipeline that have let the request pass, as bits. */
  passedSteps: number;
  /** Set by `recordDecision` alone: from then on the request may be carried out, and has a `completed` record at its end. */
  decided: RecordedDecision | undefined;
  /** The request's slot at its upstream, released when the request ends. */
  slot: Slot | undefined;
  /** The refusal or failure that ended the request. */
  error: GatewayError | undefined;
  upstreamStatus: number | undefined;
  bytes: number;
  outcome: 'completed' | 'refused' | 'aborted' | 'failed' | undefined;
  /** A checked Origin, which may read the response. */
  origin: string | undefined;
  /** The pipeline ends: the request was answered, or its client is gone. */
  answered: boolean;
  /** Number of unfinished parts, pipeline and response; at 0 the request is complete. */
  pendingCompletions: number;
  /** Undefined where nothing is traced. */
  readonly trace: RequestTrace | undefined;
  /** The request is part of a sum of its address, and has no records of its own. */
  summed: boolean;
  /** The completion record was written or is being written. */
  recorded: boolean;
}

/** An offer of another protocol (RFC 9110 §7.8). */
export interface UpgradeOffer {
  readonly socket: Socket;
  /** Bytes that came behind the head. */
  readonly head: Buffer;
}

declare const isRecorded: unique symbol;

/** A decision to allow that every required sink has recorded, or that is part of a sum and forwards nothing. */
export interface RecordedDecision {
  readonly event: AuditEvent;
  readonly [isRecorded]: true;
}

/** Creates the context of a request; `id` names it in records, logs and responses. */
export function createRequestContext(
  { id, log, raw: request }: { readonly id: string; readonly log: RequestLog; readonly raw: IncomingMessage },
  response: ServerResponse,
  snapshot: Snapshot,
  upgrade: UpgradeOffer | undefined,
  clientAddress: string,
): RequestContext {
  return {
    place: -1,
    id,
    log,
    startedMs: performance.now(),
    snapshot,
    request,
    response,
    upgrade,
    method: request.method ?? '',
    clientAddress,
    path: '',
    query: '',
    match: undefined,
    route: undefined,
    caller: undefined,
    subject: callerNetwork(clientAddress),
    certificate: undefined,
    expiresAt: Number.POSITIVE_INFINITY,
    checkedRevocations: undefined,
    checkedSnapshot: snapshot,
    credentials: [],
    body: undefined,
    bodyInUse: false,
    reservedBytes: 0,
    message: undefined,
    session: undefined,
    decision: undefined,
    taken: undefined,
    shadow: undefined,
    authorization: undefined,
    auditArguments: undefined,
    detail: undefined,
    passedSteps: 0,
    decided: undefined,
    slot: undefined,
    error: undefined,
    upstreamStatus: undefined,
    bytes: 0,
    outcome: undefined,
    origin: undefined,
    answered: false,
    pendingCompletions: 2,
    trace: snapshot.tracing && createRequestTrace(snapshot.tracing),
    summed: false,
    recorded: false,
  };
}
