// Queries against the demo's database: one at a time, in a process of their own, which is ended when a query takes too long.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';

export interface QueryRequest {
  readonly sql: string;
  /** Rows. */
  readonly limit: number;
}

export interface QueryResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
  /** There were more rows than the limit, or than fit. */
  readonly truncated: boolean;
}

export type QueryReply = QueryResult | { readonly error: string };

export interface QueryEngine {
  /** Rejects with a `QueryError` whose message is meant for the caller. */
  run(request: QueryRequest & { readonly timeoutMs: number }): Promise<QueryResult>;
  close(): Promise<void>;
}

/** The statement was refused, failed, or took too long. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
}

/** Creates an engine; the process starts with the first query. */
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
  // node:sqlite says on Node 22 that it is experimental; the demo does not hand that on.
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
