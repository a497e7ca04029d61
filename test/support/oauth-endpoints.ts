// Fake endpoints of an authorization server on loopback: introspection (RFC 7662) and token exchange (RFC 8693). Both remember who asked.
import type { ServerResponse } from 'node:http';
import type { TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { createGate } from './gate.ts';
import { type RecordedRequest, startUpstream } from './upstream.ts';

/** What an endpoint does instead of answering well. */
export type EndpointFault = (typeof endpointFaults)[number][0] | 'broken once';

/** Each fault, what the gateway counts it as, and whether it is an outage, after which the endpoint is left alone for a while. */
export const endpointFaults = [
  ['down', 'connection', true],
  ['unavailable', 'status', true],
  ['too many', 'status', true],
  ['drip', 'timeout', true],
  ['slow', 'timeout', true],
  ['error', 'status', false],
  ['unauthorized', 'status', false],
  ['redirect', 'status', false],
  ['huge', 'too_large', false],
  ['garbage', 'malformed', false],
  ['nothing', 'malformed', false],
  ['coding', 'content_coding', false],
  ['html', 'media_type', false],
  ['array', 'malformed', false],
] as const;

export interface FakeEndpoint {
  readonly endpoint: string;
  /** Every question, oldest first. */
  readonly questions: readonly RecordedRequest[];
  readonly connections: () => number;
  fault: EndpointFault | undefined;
  /** Answers wait until it is called, once it was created. */
  hold(): () => void;
  close(): Promise<void>;
}

export interface FakeIntrospection extends FakeEndpoint {
  /** The tokens asked about, oldest first. */
  tokens(): string[];
  /** The authenticator that asks it. */
  readonly authenticator: Readonly<Record<string, string>>;
  /** What it says of a token; of others it says that they are not active. */
  readonly answers: Map<string, Readonly<Record<string, unknown>>>;
}

export interface FakeTokenEndpoint extends FakeEndpoint {
  /** Tokens given out so far; the n-th is `issued-n`. */
  readonly issued: () => number;
  /** Over the good answer; `undefined` takes a member out, and `subjectToken` stands for the token that was shown. */
  answer: Readonly<Record<string, unknown>>;
  /** Instead of a token: an OAuth error with its status. */
  error: { readonly status: number; readonly body: Readonly<Record<string, unknown>> } | undefined;
}

export interface EndpointOptions {
  readonly tls?: TlsOptions;
}

export const subjectToken = 'THE SUBJECT TOKEN';

const json = { 'content-type': 'application/json', 'cache-control': 'no-store' };

/** Starts one on a free port that knows the tokens it is told of. */
export async function startIntrospection(options: EndpointOptions = {}): Promise<FakeIntrospection> {
  const answers: FakeIntrospection['answers'] = new Map();
  const endpoint = await startEndpoint('/introspect', { active: true }, options, (request, response) => {
    const answer = answers.get(formOf(request).get('token') ?? '') ?? { active: false };
    response.writeHead(200, json).end(JSON.stringify(answer));
  });
  const tokens = () => endpoint.questions.map((request) => formOf(request).get('token') ?? '');
  const authenticator = {
    type: 'introspection',
    endpoint: endpoint.endpoint,
    issuer: 'https://partner.example/',
    clientId: 'gateway',
    clientSecret: 's',
  };
  return Object.assign(endpoint, { answers, authenticator, tokens });
}

/** Starts one on a free port that exchanges every token it is shown. */
export async function startTokenEndpoint(options: EndpointOptions = {}): Promise<FakeTokenEndpoint> {
  let issued = 0;
  const endpoint = await startEndpoint('/token', issuedToken(0), options, (request, response) => {
    if (self.error !== undefined) {
      return void response.writeHead(self.error.status, json).end(JSON.stringify(self.error.body));
    }
    const shown = formOf(request).get('subject_token') ?? '';
    const body = JSON.stringify({ ...issuedToken(++issued), ...self.answer }, (_key, value: unknown) =>
      value === subjectToken ? shown : value,
    );
    response.writeHead(200, json).end(body);
  });
  const self: FakeTokenEndpoint = Object.assign(endpoint, { issued: () => issued, answer: {}, error: undefined });
  return self;
}

export function formOf(request: RecordedRequest): URLSearchParams {
  return new URLSearchParams(request.body.toString());
}

function issuedToken(number: number): Record<string, unknown> {
  return {
    access_token: `issued-${number}`,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 120,
  };
}

/** `good` is what a fault makes something bad of. */
async function startEndpoint(
  path: string,
  good: object,
  options: EndpointOptions,
  answer: (request: RecordedRequest, response: ServerResponse) => void,
): Promise<FakeEndpoint> {
  const gate = createGate();
  const server = await startUpstream({
    ...options,
    async reply(request, response) {
      await gate.open();
      const { fault } = self;
      if (fault === 'broken once') self.fault = undefined;
      if (fault === undefined) answer(request, response);
      else misbehave(response, fault, JSON.stringify(good));
    },
  });
  const self: FakeEndpoint = {
    endpoint: server.url + path,
    questions: server.requests,
    connections: server.connections,
    fault: undefined,
    hold: gate.hold,
    close: server.close,
  };
  return self;
}

function misbehave(response: ServerResponse, fault: EndpointFault, good: string): void {
  switch (fault) {
    case 'down':
    case 'broken once':
      return void response.destroy();
    case 'slow':
      return;
    case 'drip':
      return void response.writeHead(200, json).write(good.slice(0, 10));
    case 'error':
      return void response.writeHead(500, json).end(good);
    case 'unavailable':
      return void response.writeHead(503).end();
    case 'too many':
      return void response.writeHead(429, json).end('{}');
    case 'unauthorized':
      return void response.writeHead(401, { ...json, 'www-authenticate': 'Basic' }).end('{"error":"invalid_client"}');
    case 'redirect':
      return void response.writeHead(307, { location: '/elsewhere' }).end();
    case 'huge':
      return void response.writeHead(200, json).end(`${good.slice(0, -1)},"padding":"${'x'.repeat(70_000)}"}`);
    case 'garbage':
      return void response.writeHead(200, json).end(good.slice(0, -1));
    case 'coding':
      return void response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync(good));
    case 'html':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(good);
    case 'array':
      return void response.writeHead(200, json).end(`[${good}]`);
    case 'nothing':
      return void response.writeHead(200, json).end();
  }
}
