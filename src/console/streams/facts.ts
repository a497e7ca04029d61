// Open streams of this gateway process, their sessions, and the credentials that are revoked for a time: facts for the page.
import type { Caller, Principal } from '../../authn/caller/principal.ts';
import type { RevocableCredential, TemporaryRevocation } from '../../authn/caller/temporary-revocations.ts';
import type { Config } from '../../config/schema/config.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import type { LiveStream } from '../../gateway/runtime.ts';
import { markOf } from '../../mcp/session-id.ts';
import { firstOf } from './first-of.ts';
import { type StreamOrders, streamOrders } from './orders.ts';

/** Functions of a gateway process for this page. */
export interface StreamsSource extends StreamOrders {
  streams(query: StreamsQuery): Promise<StreamsFacts>;
  /** Undefined where no such stream is open. */
  stream(id: string): Promise<StreamFacts | undefined>;
}

/** Orders of the list. */
export const sortings = ['since', 'bytes', 'ends', 'client'] as const;
export type Sorting = (typeof sortings)[number];

/** Which streams are asked for; empty texts take all. */
export interface StreamsQuery {
  readonly client: string;
  readonly route: string;
  readonly sort: Sorting;
}

/** The streams of a process. */
export interface StreamsFacts {
  readonly open: number;
  /** Of those, how many the query takes; the list has at most `maxStreams` of them. */
  readonly matching: number;
  readonly streams: readonly StreamFacts[];
  /** Sessions of the streams in the list, the one with most of them first. */
  readonly sessions: readonly SessionFacts[];
  /** Each route with an upstream; of MCP routes whether that has given out session ids since the start. */
  readonly routes: readonly { readonly name: string; readonly issuesSessions: boolean | undefined }[];
  readonly revocations: readonly TemporaryRevocation[];
  /** Other processes share state, but no temporary revocation. */
  readonly hasSharedState: boolean;
}

/** One open stream. Instants are in milliseconds since 1970. */
export interface StreamFacts {
  /** Of the request, as its audit records have it. */
  readonly id: string;
  readonly route: string;
  readonly kind: 'answer' | 'listening' | 'websocket';
  readonly client: string | undefined;
  readonly subject: string | undefined;
  /** Undefined on a route without authentication. */
  readonly credential: CredentialFacts | undefined;
  /** Fingerprint of the certificate beside a token or key. */
  readonly certificate: string | undefined;
  readonly address: string;
  readonly since: number;
  readonly bytes: number;
  readonly end: StreamEnd | undefined;
  /** The gateway has begun to end it. */
  readonly isEnding: boolean;
  /** As the record of the answer that opened the session has it. */
  readonly session: string | undefined;
}

/** The credential that a stream was opened with. Without an id it cannot be revoked by itself. */
export type CredentialFacts = Omit<RevocableCredential, 'id'> & { readonly id: string | undefined };

/** The end of a stream that is known before. */
export interface StreamEnd {
  readonly at: number;
  /** `trust`: an authority above the certificate ends, or its CRL is overdue. */
  readonly why: 'token' | 'key' | 'sunset' | 'certificate' | 'trust';
}

/** One session with open streams. */
export interface SessionFacts {
  readonly mark: string;
  readonly route: string;
  readonly client: string | undefined;
  readonly subject: string | undefined;
  readonly streams: number;
}

/** Bound of an answer. */
export const maxStreams = 50;

/** Creates the functions. */
export function streamsFacts(parts: RunningParts): StreamsSource {
  const { revocations, runtime, state } = parts;
  const factsOf = (live: LiveStream) => streamFactsOf(live, runtime.snapshot.config, parts.now());
  return {
    async streams(query) {
      const { matching, first } = firstOf(runtime.streams, maxStreams, isAskedFor(query), comparisons[query.sort]);
      const streams = first.map(factsOf);
      return {
        open: runtime.streams.size(),
        matching,
        streams,
        sessions: sessionsOf(streams),
        routes: runtime.snapshot.routes
          .filter(({ upstream }) => upstream !== undefined)
          .map(({ name, sessions }) => ({ name, issuesSessions: sessions?.upstream.issuesIds })),
        revocations: revocations.temporary(),
        hasSharedState: state.status() !== undefined,
      };
    },
    async stream(id) {
      const live = findStream(runtime.streams, id);
      return live && factsOf(live);
    },
    ...streamOrders(parts, (id) => findStream(runtime.streams, id)),
  };
}

function findStream(streams: Iterable<LiveStream>, id: string): LiveStream | undefined {
  for (const live of streams) if (live.context.id === id) return live;
  return undefined;
}

const clientOf = ({ authorization: { caller } }: LiveStream): string =>
  caller?.principal.clientId ?? caller?.principal.subject ?? '';

const comparisons: Readonly<Record<Sorting, (one: LiveStream, other: LiveStream) => number>> = {
  since: (one, other) => one.context.startedMs - other.context.startedMs,
  bytes: (one, other) => other.stream.bytes() - one.stream.bytes(),
  ends: (one, other) =>
    compare(endOf(one.authorization.caller)?.at ?? 1e15, endOf(other.authorization.caller)?.at ?? 1e15),
  client: (one, other) => compare(clientOf(one), clientOf(other)),
};

function compare<T extends string | number>(one: T, other: T): number {
  return one < other ? -1 : Number(one > other);
}

function isAskedFor({ client, route }: StreamsQuery): (live: LiveStream) => boolean {
  const wanted = client.toLowerCase();
  return (live) =>
    (route === '' || live.authorization.route.name === route) && clientOf(live).toLowerCase().includes(wanted);
}

function streamFactsOf(live: LiveStream, config: Config, now: number): StreamFacts {
  const { authorization, context, stream } = live;
  const { caller, route } = authorization;
  const { id, clientAddress: address, method, session, startedMs, upgrade } = context;
  const kind = upgrade !== undefined ? 'websocket' : method === 'GET' ? 'listening' : 'answer';
  return {
    id,
    route: route.name,
    kind,
    client: caller?.principal.clientId,
    subject: caller?.principal.subject,
    credential: caller && credentialOf(caller.principal),
    certificate: caller?.certificate?.credentialId,
    address,
    since: Math.round(now - (performance.now() - startedMs)),
    bytes: stream.bytes(),
    end: endUnder(caller, config),
    isEnding: live.endingSince !== undefined,
    session: session && markOf(session.sealed),
  };
}

function credentialOf({ authenticator, credentialId: id, kind }: Principal): CredentialFacts {
  return { kind, authenticator, id };
}

const reasons = { oauth: 'token', 'api-key': 'key', mtls: 'certificate' } as const;

/** The first end of the caller's credentials; undefined where none ends by itself. */
function endOf(caller: Caller | undefined): StreamEnd | undefined {
  if (caller === undefined) return undefined;
  const { certificate, certificateUntil, principal } = caller;
  let first: StreamEnd | undefined;
  for (const { at, why } of [
    { at: principal.expiresAt, why: reasons[principal.kind] },
    { at: certificate?.expiresAt, why: 'certificate' as const },
    { at: certificateUntil, why: 'trust' as const },
  ])
    if (at !== undefined && Number.isFinite(at) && (first === undefined || at < first.at)) first = { at, why };
  return first;
}

function endUnder(caller: Caller | undefined, { authenticators }: Config): StreamEnd | undefined {
  const end = endOf(caller);
  if (end?.why !== 'key') return end;
  const settings = authenticators[caller!.principal.authenticator];
  return settings?.type === 'apiKey' && settings.sunset === end.at ? { ...end, why: 'sunset' } : end;
}

function sessionsOf(streams: readonly StreamFacts[]): readonly SessionFacts[] {
  const sessions = new Map<string, SessionFacts>();
  for (const { client, route, session: mark, subject } of streams) {
    if (mark === undefined) continue;
    sessions.set(mark, { mark, route, client, subject, streams: (sessions.get(mark)?.streams ?? 0) + 1 });
  }
  return [...sessions.values()].sort((one, other) => other.streams - one.streams);
}
