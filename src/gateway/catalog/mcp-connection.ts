// MCP connection of the gateway's own to the upstream of a route: an initialized session, or from revision 2026-07-28 on stateless messages.
import { randomUUID } from 'node:crypto';
import type { Caller } from '../../authn/caller/principal.ts';
import { readMessages } from '../../mcp/catalog/answer.ts';
import { type Definition, isMap } from '../../mcp/catalog/definition.ts';
import { isEventStream, isJson } from '../../mcp/media-type.ts';
import { createEventStreamFilter } from '../../mcp/response/sse-filter.ts';
import { type AnswerHead, AskError, askUpstream } from '../../upstream/ask.ts';
import type { Route } from '../route.ts';

/** The way to the upstream. */
interface ConnectionOptions {
  readonly route: Route;
  /** The caller in whose name it asks; undefined: no identity header names anybody. */
  readonly caller: Caller | undefined;
  /** The Authorization header for the upstream. */
  readonly authorization: string | undefined;
  /** Version of the gateway. */
  readonly version: string;
  /** Of each request. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** An MCP server that can be asked. */
export interface McpConnection {
  readonly protocolVersion: string;
  readonly server: { readonly name: string; readonly version: string };
  readonly capabilities: Definition;
  /** The result; undefined where the server does not know the method. Throws an AskError. */
  request(method: string, params?: Definition): Promise<Definition | undefined>;
  /** Ends the session. Never rejects. */
  close(): Promise<void>;
}

interface State {
  readonly options: ConnectionOptions;
  protocolVersion: string | undefined;
  isModern: boolean;
  sessionId: string | undefined;
  lastId: number;
}

interface Answer {
  readonly head: AnswerHead;
  readonly message: Definition | undefined;
}

const olderRevision = '2025-11-25';
const statelessRevision = '2026-07-28';
const metaPrefix = 'io.modelcontextprotocol/';
const methodNotFound = -32601;

/** Opens the connection, first as every older revision does. Throws an AskError. */
export async function connectMcp(options: ConnectionOptions): Promise<McpConnection> {
  const state: State = { options, protocolVersion: undefined, isModern: false, sessionId: undefined, lastId: 0 };
  const clientInfo = { name: 'portcullis', version: options.version };
  const first = await send(state, 'initialize', { protocolVersion: olderRevision, capabilities: {}, clientInfo });
  let result = resultOf(first);
  if (result !== undefined) {
    state.sessionId = headerOf(first.head, 'mcp-session-id');
    state.protocolVersion = textOf(result.protocolVersion) ?? olderRevision;
    await send(state, 'notifications/initialized', undefined);
  } else {
    state.isModern = true;
    state.protocolVersion = statelessRevision;
    const discovered = await send(state, 'server/discover', {});
    result = resultOf(discovered);
    if (result === undefined) throw new AskError('unreadable', `is no MCP server: ${faultOf(first)}`);
  }
  const meta = isMap(result._meta) ? result._meta : {};
  const server = [result.serverInfo, meta[`${metaPrefix}serverInfo`]].find(isMap) ?? {};
  return {
    protocolVersion: state.protocolVersion,
    server: { name: textOf(server.name) ?? '', version: textOf(server.version) ?? '' },
    capabilities: isMap(result.capabilities) ? result.capabilities : {},
    async request(method, params = {}) {
      const answer = await send(state, method, params);
      const found = resultOf(answer);
      if (found !== undefined) return found;
      if (isMap(answer.message?.error) && answer.message.error.code === methodNotFound) return undefined;
      throw new AskError('unreadable', `${method}: ${faultOf(answer)}`);
    },
    async close() {
      if (state.sessionId !== undefined) await ask(state, 'DELETE', null, () => true).catch(() => {});
    },
  };
}

/** Throws an AskError for a refusal, and for an answer that cannot be read. */
async function send(state: State, method: string, params: Definition | undefined): Promise<Answer> {
  const id = method.startsWith('notifications/') ? undefined : ++state.lastId;
  const body = JSON.stringify({ jsonrpc: '2.0', id, method, params: params && withMeta(state, params) });
  const reader = createReader(id);
  const mirrored = state.isModern
    ? ['mcp-method', method, ...(typeof params?.name === 'string' ? ['mcp-name', params.name] : [])]
    : [];
  const head = await ask(state, 'POST', body, reader.take, mirrored);
  const { status } = head;
  if (status === 401 || status === 403) throw new AskError('refused', `status ${status}`);
  if (status >= 500) throw new AskError('unreadable', `status ${status}`);
  return { head, message: reader.end(head) };
}

function ask(
  state: State,
  method: string,
  body: string | null,
  take: (head: AnswerHead, chunk: Buffer) => boolean,
  mirrored: readonly string[] = [],
): Promise<AnswerHead> {
  const { route, caller, authorization, version, timeoutMs, signal } = state.options;
  const { paths, shapeRequest, target } = route.upstream!;
  const rawHeaders = ['accept', 'application/json, text/event-stream', 'user-agent', `portcullis/${version}`];
  if (body !== null) rawHeaders.push('content-type', 'application/json');
  if (state.protocolVersion !== undefined) rawHeaders.push('mcp-protocol-version', state.protocolVersion);
  rawHeaders.push(...mirrored);
  const { sessionId } = state;
  const session = sessionId === undefined ? undefined : { upstreamId: sessionId, lastEventId: undefined };
  const requestId = randomUUID();
  const headers = shapeRequest({ rawHeaders, caller, session, authorization, requestId, clientAddress: '' });
  const path = paths.toUpstream(route.path.replace(/\/\*$/, ''));
  return askUpstream(target, {
    ...{ path, method, headers, body, timeoutMs, signal, take },
    maxBytes: target.limits.responseBytes,
  });
}

function withMeta({ isModern, protocolVersion, options }: State, params: Definition): Definition {
  if (!isModern) return params;
  const _meta = {
    [`${metaPrefix}protocolVersion`]: protocolVersion,
    [`${metaPrefix}clientInfo`]: { name: 'portcullis', version: options.version },
    [`${metaPrefix}clientCapabilities`]: {},
  };
  return { ...params, _meta };
}

/** Reads the body of an answer as it comes. A stream is done with once it has the message with this id. */
function createReader(id: number | undefined) {
  const chunks: Buffer[] = [];
  let found: Definition | undefined;
  const look = (text: Buffer): void => {
    if (text.length > 0) found ??= readMessages(text).find((message) => message.id === id && !('method' in message));
  };
  const events = createEventStreamFilter({
    rewrite: (text) => void look(text) as undefined,
    maxBytes: Number.POSITIVE_INFINITY,
    resumable: true,
  });
  return {
    take(head: AnswerHead, chunk: Buffer): boolean {
      if (!isStream(head)) chunks.push(chunk);
      else reading(() => events.write(chunk));
      return id === undefined || found !== undefined;
    },
    end(head: AnswerHead): Definition | undefined {
      if (id === undefined || found !== undefined) return found;
      if (isStream(head)) reading(() => events.end());
      else if (isJson(headerOf(head, 'content-type'))) reading(() => look(Buffer.concat(chunks)));
      return found;
    },
  };
}

function reading(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    throw new AskError('unreadable', (error as Error).message);
  }
}

function isStream(head: AnswerHead): boolean {
  return isEventStream(headerOf(head, 'content-type') ?? '');
}

function headerOf({ headers }: AnswerHead, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function resultOf({ head, message }: Answer): Definition | undefined {
  if (head.status >= 300 || !isMap(message?.result) || message.result.resultType === 'input_required') return undefined;
  return message.result;
}

function faultOf({ head, message }: Answer): string {
  if (!isMap(message?.error)) return `status ${head.status} without a result`;
  const { code } = message.error;
  return typeof code === 'number' ? `error ${code}` : 'an error without a code';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
