// Proxy that adds Authorization, for clients that cannot send a token.
import { once } from 'node:events';
import { createServer, Agent as HttpAgent, type IncomingMessage, request as sendPlainly } from 'node:http';
import { Agent as HttpsAgent, request as sendSecurely } from 'node:https';
import type { AddressInfo } from 'node:net';
import { publicHost } from './client.ts';

export interface Injector {
  readonly port: number;
  /** `http://localhost:<port>`. */
  readonly origin: string;
  close(): Promise<void>;
}

export interface InjectorOptions {
  /** Of the gateway, on 127.0.0.1. */
  readonly port: number;
  /** Of its certificate; without it plain HTTP. */
  readonly ca?: string;
  readonly token: string;
  /** Default: a free one. */
  readonly listenPort?: number;
}

/** Passes requests and answers on byte for byte as they come, Host and Origin too; a leg that breaks breaks the other. */
export async function startInjector({ port, ca, token, listenPort = 0 }: InjectorOptions): Promise<Injector> {
  const agent = ca === undefined ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true, ca });
  const send = ca === undefined ? sendPlainly : sendSecurely;
  const server = createServer((incoming, response) => {
    const { method, url, rawHeaders } = incoming;
    const outgoing = send({
      agent,
      host: '127.0.0.1',
      servername: publicHost,
      port,
      method,
      path: url,
      headers: [...rawHeaders, 'Authorization', `Bearer ${token}`] as never,
    });
    outgoing.on('response', (answer: IncomingMessage) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  server.listen(listenPort, '127.0.0.1');
  await once(server, 'listening');
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    origin: `http://localhost:${bound}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}
