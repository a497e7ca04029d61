// Requests of the benchmarks: tool calls of a size, and the headers that each has.
import type { Dispatcher } from 'undici';

export type Request = Dispatcher.RequestOptions;

const fillingLine = '-- the statement goes on, in lines of about as many characters as people write\n';

/** A `tools/call` of `bytes`, 1 KiB or more; of a large one most is SQL of many lines. */
export function callOf(bytes = 1024): string {
  const regions = Array.from({ length: 60 }, (_, index) => `'r${index}'`).join(', ');
  const callWith = (filling: string): string =>
    JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        name: 'execute_sql',
        arguments: {
          request: {
            database_id: 1,
            sql: `SELECT region, SUM(amount) AS total FROM sales WHERE region IN (${regions}) ${filling}GROUP BY region`,
            limit: 100,
          },
        },
      },
    });
  // A line break takes two bytes of JSON.
  const lines = fillingLine.repeat(Math.floor((bytes - callWith('').length) / (fillingLine.length + 1)));
  return callWith(lines + ' '.repeat(bytes - callWith(lines).length));
}

/** A POST of `body` with these headers beside those of every request. */
export function requestOf(body: string, headers: Record<string, string>, path = '/mcp'): Request {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body,
  };
}
