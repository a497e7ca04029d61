// Plain HTTP servers on 127.0.0.1 for the development environment.
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A listening server. */
export interface LoopbackServer {
  readonly port: number;
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  /** Stops listening and closes open connections. */
  close(): Promise<void>;
}

const loopbackHost = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/**
 * Listens on 127.0.0.1. Requests whose Host is not a loopback name get 421, against DNS rebinding. Rejects with the error of `listen` (such as EADDRINUSE).
 */
export async function listenOnLoopback(port: number, listener: RequestListener): Promise<LoopbackServer> {
  const server = createServer((request, response) => {
    if (loopbackHost.test(request.headers.host ?? '')) {
      listener(request, response);
    } else {
      response.writeHead(421, { 'content-type': 'text/plain' }).end('unknown host\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    origin: `http://127.0.0.1:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
