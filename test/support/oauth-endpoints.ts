// A fake introspection endpoint on loopback: knows the tokens it is told of, remembers who asked, and fails on demand.
import type { ServerResponse } from 'node:http';
import type { TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { createGate } from './gate.ts';
import { type RecordedRequest, startUpstream } from './upstream.ts';

/** What the endpoint does instead of answering well. */
export type IntrospectionFault =
  | 'down'
  | 'slow'
  | 'drip'
  | 'error'
  | 'unavailable'
  | 'unauthorized'
  | 'redirect'
  | 'huge'
  | 'garbage'
  | 'coding'
  | 'html'
  | 'array'
  | 'active as text'
  | 'nothing'
  | 'broken once';

export interface FakeIntrospection {
  readonly endpoint: string;
  /** Every question, oldest first. */
  readonly questions: readonly RecordedRequest[];
  /** The tokens asked about, oldest first. */
  tokens(): string[];
  readonly connections: () => number;
  /** What it says of a token; of others it says that they are not active. */
  readonly answers: Map<string, Readonly<Record<string, unknown>>>;
  fault: IntrospectionFault | undefined;
  /** Answers wait until it is called, once it was created. */
  hold(): () => void;
  close(): Promise<void>;
}

const json = { 'content-type': 'application/json' };

/** Starts one on a free port. */
export async function startIntrospection(options: { readonly tls?: TlsOptions } = {}): Promise<FakeIntrospection> {
  const gate = createGate();
  const server = await startUpstream({
    ...options,
    async reply(request, response) {
      await gate.open();
      const { fault } = self;
      if (fault === 'broken once') self.fault = undefined;
      if (fault !== undefined) return misbehave(response, fault);
      const answer = self.answers.get(tokenOf(request)) ?? { active: false };
      response.writeHead(200, json).end(JSON.stringify(answer));
    },
  });
  const self: FakeIntrospection = {
    endpoint: `${server.url}/introspect`,
    questions: server.requests,
    tokens: () => server.requests.map(tokenOf),
    connections: server.connections,
    answers: new Map(),
    fault: undefined,
    hold: gate.hold,
    close: server.close,
  };
  return self;
}

export function formOf(request: RecordedRequest): URLSearchParams {
  return new URLSearchParams(request.body.toString());
}

function tokenOf(request: RecordedRequest): string {
  return formOf(request).get('token') ?? '';
}

function misbehave(response: ServerResponse, fault: IntrospectionFault): void {
  switch (fault) {
    case 'down':
    case 'broken once':
      return void response.destroy();
    case 'slow':
      return;
    case 'drip':
      return void response.writeHead(200, json).write('{"active":');
    case 'error':
      return void response.writeHead(500, json).end('{"active":true}');
    case 'unavailable':
      return void response.writeHead(503).end();
    case 'unauthorized':
      return void response.writeHead(401, { ...json, 'www-authenticate': 'Basic' }).end('{"error":"invalid_client"}');
    case 'redirect':
      return void response.writeHead(307, { location: '/elsewhere' }).end();
    case 'huge':
      return void response.writeHead(200, json).end(`{"active":true,"padding":"${'x'.repeat(70_000)}"}`);
    case 'garbage':
      return void response.writeHead(200, json).end('{"active":true');
    case 'coding':
      return void response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync('{"active":true}'));
    case 'html':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('{"active":true}');
    case 'array':
      return void response.writeHead(200, json).end('[{"active":true}]');
    case 'active as text':
      return void response.writeHead(200, json).end('{"active":"true"}');
    case 'nothing':
      return void response.writeHead(200, json).end();
  }
}
