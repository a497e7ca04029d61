// HTTP client for authorization servers: bounded in time and size, TLS verified, no redirects, no content codings, perhaps through a proxy.
import { createRequire } from 'node:module';
import type { Agent, Dispatcher, Pool, ProxyAgent } from 'undici';
import { createByteBuffer } from '../http/body/byte-buffer.ts';
import { type Egress, proxyFor } from './egress.ts';

const require = createRequire(import.meta.url);

/** The HTTP library, which `check` does without. The gateway has it from its start, for the connections to upstreams. */
const undici = () => require('undici') as typeof import('undici');

/** The cause of a failure; a closed list, used as a metric label. */
export type RequestFailureReason =
  | 'connection'
  /** The egress proxy could not be reached, or refused. */
  | 'proxy'
  | 'timeout'
  | 'status'
  | 'content_coding'
  | 'media_type'
  | 'too_large'
  | 'malformed';

/** The server could not be reached, or its answer cannot be used. `message` is for the operator's log. */
export class RequestFailure extends Error {
  readonly reason: RequestFailureReason;
  /** Of the answer; undefined when none came. */
  readonly status: number | undefined;

  constructor(
    reason: RequestFailureReason,
    message: string,
    details: { readonly status?: number; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'RequestFailure';
    this.reason = reason;
    this.status = details.status;
  }
}

/** A request with bounds in time and bytes. */
export interface BoundedRequest {
  readonly agent: BoundedAgent;
  /** Ends the request, its answer included. */
  readonly signal: AbortSignal;
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly maxBytes: number;
  /** The only accepted media type; undefined: any. */
  readonly mediaType?: string;
  /** Accepted statuses; default 200 only. */
  readonly statuses?: readonly number[] | 'any';
}

/** Status, headers and body of an answer. */
export interface BoundedAnswer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Buffer;
}

/** Connections to authorization servers, directly or through the egress proxy. */
export interface BoundedAgent {
  /** The dispatcher for an address. */
  dispatcherFor(address: string): Dispatcher;
  /** The origin of the proxy for an address; undefined where there is none. */
  proxyFor(address: string): string | undefined;
  /** Closes the connections once the requests in flight are answered. */
  close(): void;
  /** Closes the connections at once. */
  destroy(): void;
}

/** Options of the connections. */
export interface ConnectionOptions {
  /** For each part of a request. */
  readonly timeoutMs: number;
  /** More requests than these to one server wait for one another; default no bound. */
  readonly connections?: number;
  /** The only authorities of the servers' certificates, in PEM; undefined: the public ones. */
  readonly authorities?: readonly string[] | undefined;
  readonly egress: Egress;
}

/** Connections of which the idle ones can be ended while requests still come: those get new ones. */
export interface BoundedConnections {
  agent(): BoundedAgent;
  /** Ends them, once the requests in flight are answered. */
  close(): void;
}

/** Creates connections. They open with the first request. */
export function createBoundedAgent(options: ConnectionOptions): BoundedAgent {
  const { egress } = options;
  /** By the proxy. */
  const dispatchers = new Map<string | undefined, Agent | ProxyAgent>();
  const end = (how: 'close' | 'destroy') => {
    for (const dispatcher of dispatchers.values()) void dispatcher[how]().catch(() => {});
  };
  return {
    dispatcherFor(address) {
      const proxy = proxyFor(address, egress);
      const dispatcher = dispatchers.get(proxy) ?? createDispatcher(proxy, options);
      dispatchers.set(proxy, dispatcher);
      return dispatcher;
    },
    proxyFor(address) {
      const proxy = proxyFor(address, egress);
      return proxy === undefined ? undefined : new URL(proxy).origin;
    },
    close: () => end('close'),
    destroy: () => end('destroy'),
  };
}

function createDispatcher(
  proxy: string | undefined,
  { timeoutMs, connections, authorities }: ConnectionOptions,
): Agent | ProxyAgent {
  const tls = {
    timeout: timeoutMs,
    rejectUnauthorized: true,
    allowH2: false,
    ...(authorities !== undefined && { ca: [...authorities] }),
  };
  const { Agent, ProxyAgent } = undici();
  const timeouts = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs };
  const pool = { ...timeouts, allowH2: false, ...(connections !== undefined && { connections }) };
  if (proxy === undefined) return new Agent({ ...pool, connect: tls });
  const { username, password } = new URL(proxy);
  const credentials = [username, password].map(decodeURIComponent).join(':');
  return new ProxyAgent({
    ...pool,
    uri: proxy,
    ...(username !== '' && { token: `Basic ${Buffer.from(credentials).toString('base64')}` }),
    requestTls: tls,
    proxyTls: { timeout: timeoutMs, rejectUnauthorized: true, allowH2: false },
    clientFactory: (url, { connect }: Pool.Options) => createTunnels(url, { ...timeouts, ...(connect && { connect }) }),
  });
}

/** The connections to a proxy. All that goes wrong before a tunnel stands is a `ProxyError`. */
function createTunnels(proxy: URL, options: Pool.Options): Pool {
  const pool = new (undici().Pool)(proxy, options);
  const connect = pool.connect.bind(pool) as (tunnel: Dispatcher.ConnectOptions) => Promise<Dispatcher.ConnectData>;
  const connectTunnel = async (tunnel: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> => {
    const answer = await connect(tunnel).catch((error: unknown) => {
      throw new ProxyError(isTimeout(error) ? 'did not answer in time' : `failed: ${describe(error)}`);
    });
    if (answer.statusCode === 200) return answer;
    answer.socket.on('error', () => {}).destroy();
    throw new ProxyError(`answered ${answer.statusCode}`);
  };
  return Object.assign(pool, { connect: connectTunnel as Pool['connect'] });
}

class ProxyError extends Error {}

/** Creates connections. They open with the first request. */
export function createBoundedConnections(options: ConnectionOptions): BoundedConnections {
  let agent = createBoundedAgent(options);
  return {
    agent: () => agent,
    close() {
      agent.close();
      agent = createBoundedAgent(options);
    },
  };
}

/** The body of a 200. Throws a RequestFailure for everything else. */
export async function requestBounded(address: string, options: BoundedRequest): Promise<Buffer> {
  return (await answerBounded(address, options)).body;
}

/** Throws a RequestFailure for everything but an answer with one of `statuses`. */
export async function answerBounded(address: string, options: BoundedRequest): Promise<BoundedAnswer> {
  try {
    return await ask(address, options);
  } catch (error) {
    if (error instanceof RequestFailure) throw error;
    const proxy = options.agent.proxyFor(address);
    const where = proxy === undefined ? address : `${address} through the proxy ${proxy}`;
    if (error instanceof ProxyError) {
      throw new RequestFailure('proxy', `${address} could not be reached: the proxy ${proxy} ${error.message}`);
    }
    const reason = options.signal.aborted || isTimeout(error) ? 'timeout' : 'connection';
    const message = reason === 'timeout' ? 'did not answer in time' : `could not be reached: ${describe(error)}`;
    throw new RequestFailure(reason, `${where} ${message}`, { cause: error });
  }
}

async function ask(address: string, options: BoundedRequest): Promise<BoundedAnswer> {
  const { agent, signal, method = 'GET', headers, body: content, maxBytes, mediaType, statuses = [200] } = options;
  const {
    statusCode,
    headers: answered,
    body,
  } = await undici().request(address, {
    dispatcher: agent.dispatcherFor(address),
    signal,
    method,
    headers,
    ...(content !== undefined && { body: content }),
  });
  // Ending a body early is an error of the stream, and no other one.
  body.on('error', () => {});
  const refuse = (reason: RequestFailureReason, what: string) =>
    new RequestFailure(reason, `${address} answered ${what}`, { status: statusCode });
  try {
    if (statuses !== 'any' && !statuses.includes(statusCode)) throw refuse('status', String(statusCode));
    if (answered['content-encoding'] !== undefined) throw refuse('content_coding', 'in a content coding');
    if (mediaType !== undefined && mediaTypeOf(answered) !== mediaType) throw refuse('media_type', `no ${mediaType}`);
    const answer = createByteBuffer();
    for await (const chunk of body as AsyncIterable<Buffer>) {
      answer.append(chunk);
      if (answer.length() > maxBytes) throw refuse('too_large', `with more than ${maxBytes / 1024} KiB`);
    }
    return { status: statusCode, headers: answered, body: answer.take() };
  } finally {
    body.destroy();
  }
}

function mediaTypeOf(headers: Dispatcher.ResponseData['headers']): string | undefined {
  const value = headers['content-type'];
  return typeof value === 'string' ? value.split(';', 1)[0]!.trim().toLowerCase() : undefined;
}

function isTimeout(error: unknown): boolean {
  const { errors } = undici();
  return (
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  );
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}
