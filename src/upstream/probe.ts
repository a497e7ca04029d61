// Probe of an upstream with a request that has no credential and has to be refused.
import { errors } from 'undici';
import type { Upstream } from './upstream.ts';

/** A request without a credential. */
export interface ProbeQuestion {
  readonly path: string;
  /** An MCP endpoint is asked for its tools, anything else is read. */
  readonly mcp: boolean;
  readonly timeoutMs: number;
}

/** `refused`: 401 or 403. `answered`: any other status below 500. `unclear`: neither, because of a fault or the time. */
export type ProbeAnswer =
  | { readonly kind: 'refused' | 'answered'; readonly status: number }
  | { readonly kind: 'unclear'; readonly reason: string };

const refusals = [401, 403];
const listTools = JSON.stringify({ jsonrpc: '2.0', id: 'portcullis-probe', method: 'tools/list', params: {} });
const readHeaders = ['accept', '*/*', 'user-agent', 'portcullis-probe'];
const mcpHeaders = [
  ...['accept', 'application/json, text/event-stream', 'content-type', 'application/json'],
  ...['user-agent', 'portcullis-probe'],
];

/** Sends the probe. Resolves within `timeoutMs` and never rejects; reads only the status of the response. */
export function askWithoutCredential(upstream: Upstream, question: ProbeQuestion): Promise<ProbeAnswer> {
  const { path, mcp, timeoutMs } = question;
  const { promise, resolve } = Promise.withResolvers<ProbeAnswer>();
  const connection = upstream.connections.take();
  let abort: (() => void) | undefined;
  let over = false;
  const end = (answer: ProbeAnswer): void => {
    over = true;
    clearTimeout(timer);
    resolve(answer);
    abort?.();
  };
  const timer = setTimeout(() => end({ kind: 'unclear', reason: `no answer within ${timeoutMs} ms` }), timeoutMs);
  connection.client.dispatch(
    {
      path: upstream.basePath + path,
      method: mcp ? 'POST' : 'GET',
      headers: mcp ? mcpHeaders : readHeaders,
      body: mcp ? listTools : null,
    },
    {
      onRequestStart(controller) {
        abort = () => controller.abort(new errors.RequestAbortedError());
        if (over) abort();
      },
      onResponseStart(_controller, status) {
        if (status >= 200) end(classify(status));
      },
      onResponseEnd: () => upstream.connections.give(connection),
      onResponseError(_controller, cause) {
        upstream.connections.give(connection);
        if (!over) end({ kind: 'unclear', reason: cause.message });
      },
    },
  );
  return promise;
}

function classify(status: number): ProbeAnswer {
  if (status >= 500) return { kind: 'unclear', reason: `status ${status}` };
  return { kind: refusals.includes(status) ? 'refused' : 'answered', status };
}
