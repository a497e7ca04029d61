// HTTP client for authorization servers: bounded in time and size, TLS verified, no redirects, no content codings.
import { Agent, type Dispatcher, errors, request } from 'undici';

/** The cause of a failure; a closed list, used as a metric label. */
export type RequestFailureReason =
  | 'connection'
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
  readonly agent: Agent;
  /** Ends the request, its answer included. */
  readonly signal: AbortSignal;
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly maxBytes: number;
  /** The only accepted media type; undefined: any. */
  readonly mediaType?: string;
  /** Accepted statuses; default 200 only. */
  readonly statuses?: readonly number[];
}

/** Status and body of an answer. */
export interface BoundedAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** Connections of which the idle ones can be ended while requests still come: those get new ones. */
export interface BoundedConnections {
  agent(): Agent;
  /** Ends them, once the requests in flight are answered. */
  close(): void;
}

/** Connections for one authorization server. More requests than `connections` wait for one another. */
export function createBoundedAgent(timeoutMs: number, connections?: number): Agent {
  return new Agent({
    connect: { timeout: timeoutMs, rejectUnauthorized: true },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    allowH2: false,
    ...(connections !== undefined && { connections }),
  });
}

/** Creates connections. They open with the first request. */
export function createBoundedConnections(timeoutMs: number, connections: number): BoundedConnections {
  let agent = createBoundedAgent(timeoutMs, connections);
  return {
    agent: () => agent,
    close() {
      const ended = agent;
      agent = createBoundedAgent(timeoutMs, connections);
      void ended.close().catch(() => {});
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
    const reason = isTimeout(error, options.signal) ? 'timeout' : 'connection';
    const message = reason === 'timeout' ? 'did not answer in time' : `could not be reached: ${describe(error)}`;
    throw new RequestFailure(reason, `${address} ${message}`, { cause: error });
  }
}

async function ask(address: string, options: BoundedRequest): Promise<BoundedAnswer> {
  const { agent, signal, method = 'GET', headers, body: content, maxBytes, mediaType, statuses = [200] } = options;
  const {
    statusCode,
    headers: answered,
    body,
  } = await request(address, {
    dispatcher: agent,
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
    if (!statuses.includes(statusCode)) throw refuse('status', String(statusCode));
    if (answered['content-encoding'] !== undefined) throw refuse('content_coding', 'in a content coding');
    if (mediaType !== undefined && mediaTypeOf(answered) !== mediaType) throw refuse('media_type', `no ${mediaType}`);
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw refuse('too_large', `with more than ${maxBytes / 1024} KiB`);
      chunks.push(chunk);
    }
    return { status: statusCode, body: Buffer.concat(chunks) };
  } finally {
    body.destroy();
  }
}

function mediaTypeOf(headers: Dispatcher.ResponseData['headers']): string | undefined {
  const value = headers['content-type'];
  return typeof value === 'string' ? value.split(';', 1)[0]!.trim().toLowerCase() : undefined;
}

function isTimeout(error: unknown, signal: AbortSignal): boolean {
  return (
    signal.aborted ||
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  );
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}
