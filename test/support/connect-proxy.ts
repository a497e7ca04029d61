// HTTP proxy on loopback that opens tunnels (RFC 9110 §9.3.6), whatever name they are for, to this machine; and its faults.
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

/** `refuses` answers 403, `elsewhere` opens the tunnel to another port; `no HTTP` is no answer of HTTP. */
export type ProxyFault = 'refuses' | 'elsewhere' | 'no HTTP';

export interface ConnectProxy {
  readonly url: string;
  readonly port: number;
  /** What tunnels were asked for, oldest first. */
  readonly tunnels: readonly string[];
  /** `user:password` that it asks for; others are answered 407. */
  credentials: string | undefined;
  fault: ProxyFault | undefined;
  /** The port that `elsewhere` leads to. */
  elsewhere: number;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function startConnectProxy(): Promise<ConnectProxy> {
  const tunnels: string[] = [];
  const server = createServer((_, response) => void response.writeHead(501).end());
  server.on('connect', ({ headers, url = '' }, socket) => {
    tunnels.push(url);
    socket.on('error', () => {});
    const { credentials, elsewhere, fault } = self;
    const expected = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
    if (headers['proxy-authorization'] !== expected)
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    if (fault === 'refuses') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    if (fault === 'no HTTP') return void socket.end('SSH-2.0-proxy\r\n\r\n');
    const port = fault === 'elsewhere' ? elsewhere : Number(url.split(':').at(-1));
    const tunnel = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(tunnel).pipe(socket);
    });
    tunnel.on('error', () => socket.destroy());
    socket.on('close', () => tunnel.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const self: ConnectProxy = {
    url: `http://127.0.0.1:${port}`,
    port,
    tunnels,
    credentials: undefined,
    fault: undefined,
    elsewhere: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}
