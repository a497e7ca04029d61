// Query engine of the demo: one query at a time in a child process, which is killed at a timeout.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';

/** A query as the child process receives it. */
export interface QueryRequest {
  readonly sql: string;
  /** Number of rows at most. */
  readonly limit: number;
}

/** Columns and rows of a query. */
export interface QueryResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
  /** Rows are missing: over the limit, or over the size of a result. */
  readonly truncated: boolean;
}

export type QueryReply = QueryResult | { readonly error: string };

/** Runs queries. */
export interface QueryEngine {
  /** Rejects with a `QueryError` whose message is meant for the caller. */
  run(request: QueryRequest & { readonly timeoutMs: number }): Promise<QueryResult>;
  close(): Promise<void>;
}

/** A statement that was refused, failed, or timed out. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
}

/** Creates an engine. The child process starts with the first query. */
export function createQueryEngine(): QueryEngine {
  const state: { child: ChildProcess | undefined; last: Promise<unknown>; closed: boolean } = {
    child: undefined,
    last: Promise.resolve(),
    closed: false,
  };
  const runNow = async (request: QueryRequest & { readonly timeoutMs: number }): Promise<QueryResult> => {
    if (state.closed) throw new QueryError('the database is closed');
    if (state.child?.connected !== true) state.child = start();
    const reply = await ask(state.child, request);
    if ('error' in reply) throw new QueryError(reply.error);
    return reply;
  };
  return {
    run(request) {
      const result = state.last.then(() => runNow(request));
      state.last = result.catch(() => {});
      return result;
    },
    async close() {
      state.closed = true;
      if (state.child !== undefined) await end(state.child);
    },
  };
}

function start(): ChildProcess {
  const script = new URL(`./query-process${extname(import.meta.filename)}`, import.meta.url);
  // Node 22 warns that node:sqlite is experimental.
  const execArgv = ['--disable-warning=ExperimentalWarning'];
  return fork(script, { execArgv, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
}

async function ask(child: ChildProcess, request: QueryRequest & { readonly timeoutMs: number }): Promise<QueryReply> {
  const done = new AbortController();
  let failure = 'the database process ended';
  const timer = setTimeout(() => {
    failure = `query timed out after ${request.timeoutMs / 1000} seconds`;
    child.kill('SIGKILL');
  }, request.timeoutMs);
  try {
    const exited = once(child, 'exit', { signal: done.signal }).then(() => undefined);
    const replied = once(child, 'message', { signal: done.signal }).then(([reply]) => reply as QueryReply);
    exited.catch(() => {});
    replied.catch(() => {});
    child.send({ sql: request.sql, limit: request.limit } satisfies QueryRequest, () => {});
    const reply = await Promise.race([replied, exited]);
    return reply ?? { error: failure };
  } finally {
    clearTimeout(timer);
    done.abort();
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
