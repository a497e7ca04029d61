// Sessions of MCP clients, each of which belongs to the subject that opened it.
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { McpMessage } from './message.ts';
import { methodOf } from './methods.ts';
import {
  createSessionIds,
  markOf,
  type SessionEndpoint,
  type SessionIds,
  type SessionPrincipal,
  type SubjectKey,
} from './session-id.ts';

/** Session state that outlives a configuration snapshot. */
export interface SessionMemory {
  /** Seals where no keys are configured. Of no file, so that its sessions end with it. */
  readonly ownKey: KeyObject;
  /** By endpoint and address. Sessions themselves are never remembered. */
  readonly upstreams: Map<string, SessionUpstream>;
}

/** Observations of an upstream at one endpoint. */
interface SessionUpstream {
  /** It has given out session ids: requests that mean something only in a session need one from now on. */
  issuesIds: boolean;
}

/** The sessions of one route. */
export interface RouteSessions {
  readonly ids: SessionIds;
  readonly upstream: SessionUpstream;
}

/** A session that the caller has been found to own. */
export interface ClientSession {
  /** As the client was given it. */
  readonly sealed: string;
  /** As the upstream knows it. */
  readonly upstreamId: string;
  /** Where the client wants to go on reading one of its streams. */
  readonly lastEventId: string | undefined;
}

/** The parts of a request that concern its session. */
export interface SessionRequest {
  /** Lower-case names; `Mcp-Session-Id` and `Last-Event-ID` are looked at, each at most once there. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Undefined on GET and DELETE. */
  readonly message: McpMessage | undefined;
  readonly principal: SessionPrincipal | undefined;
}

/** Creates the state of a process, by default with a key of its own. */
export function createSessionMemory(ownKey: KeyObject = createSecretKey(randomBytes(32))): SessionMemory {
  return { ownKey, upstreams: new Map() };
}

/** `keys`: the first seals, all open; none: the process's own. `address` is where the upstream is: another server may do without sessions. */
export function compileSessions(
  keys: readonly KeyObject[],
  endpoint: SessionEndpoint & { readonly address: string },
  memory: SessionMemory,
  subjectKey: SubjectKey,
): RouteSessions {
  const name = JSON.stringify([endpoint.route, endpoint.upstream, endpoint.address]);
  const upstream = memory.upstreams.get(name) ?? { issuesIds: false };
  memory.upstreams.set(name, upstream);
  return { ids: createSessionIds(keys.length === 0 ? [memory.ownKey] : keys, endpoint, subjectKey), upstream };
}

/**
 * The session that a request belongs to; undefined where it belongs to none. Revisions from 2026-07-28 on have no sessions: what their messages
 * say of one counts for nothing. Throws `session_not_found`, in the same words for whatever is wrong with an id, so that nobody learns which
 * ids exist; and `bad_request` for what needs a session and names none: `Last-Event-ID` always, GET, DELETE and client responses as soon as
 * the upstream is known to give out ids.
 */
export function identifySession(sessions: RouteSessions, request: SessionRequest): ClientSession | undefined {
  const { headers, message, principal } = request;
  if (message?.protocolVersion !== undefined) return undefined;
  const sealed = headerOf(headers, 'mcp-session-id');
  const lastEventId = headerOf(headers, 'last-event-id');
  if (sealed === undefined) {
    if (lastEventId !== undefined || (sessions.upstream.issuesIds && needsSession(message))) throw sessionRequired();
    return undefined;
  }
  const opened = sessions.ids.open(sealed, principal);
  if (opened.kind === 'not_sealed') throw sessionNotFound('not_sealed');
  sessions.upstream.issuesIds = true;
  if (opened.kind === 'another_principal') throw sessionNotFound('another_principal', opened.mark);
  return { sealed, upstreamId: opened.upstreamId, lastEventId };
}

/**
 * The upstream's session id as the client is to see it: the text it sent where it is the same session, which after a change of keys is not
 * the one that would be made now. Throws an Error for what is no session id.
 */
export function sessionIdForClient(
  sessions: RouteSessions,
  upstreamId: string,
  session: ClientSession | undefined,
  principal: SessionPrincipal | undefined,
): { readonly sealed: string; readonly isNew: boolean; readonly mark: string } {
  sessions.upstream.issuesIds = true;
  const isNew = session?.upstreamId !== upstreamId;
  const sealed = isNew ? sessions.ids.seal(upstreamId, principal) : session.sealed;
  return { sealed, isNew, mark: markOf(sealed) };
}

/**
 * Outside of a session nothing tells whose a message is that belongs to another one: ids of requests are the same for everybody. Throws `denied` for an
 * answer to a request of the server, and for a cancellation or progress unless `isPending` has the id that it names as one of the same subject.
 */
export function checkSessionless({ kind, method, reference }: McpMessage, isPending: (id: string) => boolean): void {
  const belongsToAnother = kind === 'response' || (method !== undefined && methodOf(method)?.reference !== undefined);
  if (!belongsToAnother || (reference !== undefined && isPending(reference))) return;
  const problem = kind === 'response' ? 'answer_without_session' : 'not_pending';
  throw new GatewayError(
    'denied',
    'Outside of a session this gateway takes no answers to requests of the server, and takes cancellations and progress only for a request that you have under way.',
    { reason: problem, detail: { session: { problem } } },
  );
}

/** GET and DELETE carry no message. Whoever answers a server's request must be who it was asked of. */
function needsSession(message: McpMessage | undefined): boolean {
  return message === undefined || message.kind === 'response';
}

/** Node joins what came several times; the route refuses that before. */
function headerOf(headers: SessionRequest['headers'], name: string): string | undefined {
  const value = headers[name];
  return value === undefined ? undefined : String(value);
}

/** `mark` tells whose session it is: the record of the answer that opened it has the same. */
function sessionNotFound(problem: string, mark?: string): GatewayError {
  return new GatewayError(
    'session_not_found',
    'There is no such session. Initialize again, without an Mcp-Session-Id header.',
    { reason: problem, detail: { session: { id: mark, problem } } },
  );
}

function sessionRequired(): GatewayError {
  const problem = 'not_named';
  return new GatewayError(
    'bad_request',
    'This needs a session: send the Mcp-Session-Id that came with the answer to initialize.',
    { reason: problem, detail: { session: { problem } } },
  );
}
