// A fake token endpoint on loopback: exchanges the tokens that it is shown, remembers who asked, and fails on demand.
import type { ServerResponse } from 'node:http';
import type { TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { createGate } from './gate.ts';
import { formOf } from './oauth-endpoints.ts';
import { type RecordedRequest, startUpstream } from './upstream.ts';

/** What the endpoint does instead of answering well. */
export type TokenEndpointFault =
  | 'down'
  | 'slow'
  | 'drip'
  | 'error'
  | 'unavailable'
  | 'too many'
  | 'redirect'
  | 'huge'
  | 'garbage'
  | 'coding'
  | 'html'
  | 'array'
  | 'nothing';

export interface FakeTokenEndpoint {
  readonly endpoint: string;
  /** Every question, oldest first. */
  readonly questions: readonly RecordedRequest[];
  readonly connections: () => number;
  /** Tokens given out so far; the n-th is `issued-n`. */
  readonly issued: () => number;
  /** Over the good answer; `undefined` takes a member out. */
  answer: Readonly<Record<string, unknown>>;
  /** Instead of a token: an OAuth error with its status. */
  error: { readonly status: number; readonly body: Readonly<Record<string, unknown>> } | undefined;
  fault: TokenEndpointFault | undefined;
  /** Answers wait until it is called, once it was created. */
  hold(): () => void;
  close(): Promise<void>;
}

const json = { 'content-type': 'application/json', 'cache-control': 'no-store' };

/** Starts one on a free port. */
export async function startTokenEndpoint(options: { readonly tls?: TlsOptions } = {}): Promise<FakeTokenEndpoint> {
  const gate = createGate();
  let issued = 0;
  const server = await startUpstream({
    ...options,
    async reply(request, response) {
      await gate.open();
      if (self.fault !== undefined) return misbehave(response, self.fault);
      if (self.error !== undefined) {
        return void response.writeHead(self.error.status, json).end(JSON.stringify(self.error.body));
      }
      const body = JSON.stringify({ ...good(++issued), ...self.answer }, (_key, value: unknown) =>
        value === 'THE SUBJECT TOKEN' ? subjectTokenOf(request) : value,
      );
      response.writeHead(200, json).end(body);
    },
  });
  const self: FakeTokenEndpoint = {
    endpoint: `${server.url}/token`,
    questions: server.requests,
    connections: server.connections,
    issued: () => issued,
    answer: {},
    error: undefined,
    fault: undefined,
    hold: gate.hold,
    close: server.close,
  };
  return self;
}

function good(number: number): Record<string, unknown> {
  return {
    access_token: `issued-${number}`,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 120,
  };
}

function subjectTokenOf(request: RecordedRequest): string {
  return formOf(request).get('subject_token') ?? '';
}

function misbehave(response: ServerResponse, fault: TokenEndpointFault): void {
  const token = JSON.stringify(good(0));
  switch (fault) {
    case 'down':
      return void response.destroy();
    case 'slow':
      return;
    case 'drip':
      return void response.writeHead(200, json).write('{"access_token":');
    case 'error':
      return void response.writeHead(500, json).end(token);
    case 'unavailable':
      return void response.writeHead(503).end();
    case 'too many':
      return void response.writeHead(429, json).end('{}');
    case 'redirect':
      return void response.writeHead(307, { location: '/elsewhere' }).end();
    case 'huge':
      return void response.writeHead(200, json).end(`${token.slice(0, -1)},"padding":"${'x'.repeat(70_000)}"}`);
    case 'garbage':
      return void response.writeHead(200, json).end(token.slice(0, -1));
    case 'coding':
      return void response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync(token));
    case 'html':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(token);
    case 'array':
      return void response.writeHead(200, json).end(`[${token}]`);
    case 'nothing':
      return void response.writeHead(200, json).end();
  }
}
