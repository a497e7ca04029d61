// Client that holds an answer open: what came so far, and whether it ended as a whole answer ends.
import { once } from 'node:events';
import { type IncomingMessage, request as sendPlainly } from 'node:http';
import { request as sendSecurely } from 'node:https';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { publicHost } from './client.ts';

export interface HeldStream {
  readonly response: IncomingMessage;
  /** The `x-request-id`, which is the id of the audit records. */
  readonly id: string;
  /** All that came so far. */
  text(): string;
  /** Waits until it came; fails after five seconds. */
  saw(what: string): Promise<void>;
  /** Waits for the end; fails after five seconds. `clean`: complete as HTTP says. */
  ended(): Promise<'clean' | 'cut'>;
  leave(): void;
}

export interface HeldStreamOptions {
  readonly port: number;
  readonly ca?: string;
  readonly certificate?: IssuedCertificate | undefined;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A message to POST; without it a GET. */
  readonly message?: unknown;
}

/** Sends on a connection of its own; resolves with the head. */
export async function holdStream(options: HeldStreamOptions): Promise<HeldStream> {
  const { port, ca, certificate, path = '/mcp', headers, message } = options;
  const body = message === undefined ? undefined : JSON.stringify(message);
  const outgoing = (ca === undefined ? sendPlainly : sendSecurely)({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      host: publicHost,
      accept: body === undefined ? 'text/event-stream' : 'application/json, text/event-stream',
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...headers,
    },
    ...(ca !== undefined && { ca, servername: publicHost }),
    ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.keyPem }),
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  outgoing.on('error', () => {});
  response.on('error', () => {});
  let text = '';
  let closed = false;
  let wake = () => {};
  response.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  response.on('close', () => {
    closed = true;
    wake();
  });
  async function until(reached: () => boolean, what: string): Promise<void> {
    const deadline = AbortSignal.timeout(60_000);
    deadline.addEventListener('abort', () => wake());
    while (!reached()) {
      if (deadline.aborted || closed) throw new Error(`${what}; got ${JSON.stringify(text)}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  return {
    response,
    id: String(response.headers['x-request-id'] ?? ''),
    text: () => text,
    saw: (what) => until(() => text.includes(what), `never saw ${JSON.stringify(what)}`),
    async ended() {
      if (!closed) await until(() => closed, 'the stream did not end');
      return response.complete ? 'clean' : 'cut';
    },
    leave: () => outgoing.destroy(),
  };
}
