// Recording proxy between gateway and Superset: keeps the answers byte for byte.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request as sendPlainly } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Recorder {
  readonly port: number;
  /** Bodies of calls in the order in which they ended; of an answer that was broken off, what had come. Probes do not count. */
  readonly bodies: readonly Buffer[];
  /** What Superset was sent with each call. */
  readonly headers: readonly IncomingHttpHeaders[];
  /** Requests whose answer was not taken to its end. */
  readonly abandoned: () => number;
  close(): Promise<void>;
}

export async function startRecorder(port: number): Promise<Recorder> {
  const bodies: Buffer[] = [];
  const sent: IncomingHttpHeaders[] = [];
  let abandoned = 0;
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const isCall = headers.authorization !== undefined;
    if (isCall) sent.push(headers);
    const forwarded = sendPlainly({ host: '127.0.0.1', port, method, path: url, headers, agent: false });
    incoming.pipe(forwarded);
    forwarded.on('error', () => outgoing.destroy());
    forwarded.on('response', (response) => {
      const chunks: Buffer[] = [];
      outgoing.writeHead(response.statusCode ?? 502, response.rawHeaders);
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('close', () => {
        if (isCall) bodies.push(Buffer.concat(chunks));
      });
      response.pipe(outgoing);
    });
    outgoing.on('close', () => {
      if (outgoing.writableFinished) return;
      if (isCall) abandoned += 1;
      forwarded.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    bodies,
    headers: sent,
    abandoned: () => abandoned,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
