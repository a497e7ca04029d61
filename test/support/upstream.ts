// Upstreams for tests: a real HTTP(S) server that remembers what it was sent, and a raw one that misbehaves on the wire.
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** All values of a header, whatever its case. */
  header(name: string): readonly string[];
  /** The client certificate's common name; undefined without TLS or certificate. */
  readonly clientCommonName: string | undefined;
  /** The gateway left before the answer was complete; on a raw upstream: it closed the connection. */
  aborted: boolean;
}

export interface TestUpstream {
  /** Without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** In order of arrival, complete bodies only. */
  readonly requests: readonly RecordedRequest[];
  /** TCP connections accepted so far. */
  readonly connections: () => number;
  /** TCP connections open now. */
  readonly openConnections: () => number;
  /** Resolves once `count` requests have arrived. */
  readonly received: (count: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

export type Reply = (request: RecordedRequest, response: ServerResponse) => void | Promise<void>;
export type RawReply = (socket: Socket, request: RecordedRequest) => void;

/** Answers 200 with a JSON-RPC result that fits every request: a call that did nothing, and an empty list of everything. */
export const replyOk: Reply = (_request, response) => {
  const result = { content: [], tools: [], resources: [], resourceTemplates: [], prompts: [] };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, result });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
};

/** A well-behaved server on a loopback port, a free one by default; `tls` makes it HTTPS. Close it in `t.teardown`. */
export async function startUpstream(
  options: { readonly reply?: Reply; readonly tls?: TlsOptions; readonly port?: number } = {},
): Promise<TestUpstream> {
  const reply = options.reply ?? replyOk;
  const recorder = createRecorder();
  const listener = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { method = '', url = '', rawHeaders, socket } = incoming;
    const request = recorder.record(method, url, rawHeaders, Buffer.concat(chunks), socket);
    response.on('close', () => {
      request.aborted = !response.writableFinished;
    });
    await reply(request, response);
  };
  const server = options.tls === undefined ? createHttpServer() : createHttpsServer(options.tls);
  server.on('request', (incoming, response) => {
    listener(incoming, response).catch(() => response.destroy());
  });
  return listen(server, options.tls !== undefined, recorder, options.port);
}

/** A server that reads each request and then does what the script says with the bare socket. */
export async function startRawUpstream(
  reply: RawReply,
  options: { readonly tls?: TlsOptions } = {},
): Promise<TestUpstream> {
  const recorder = createRecorder();
  const serve = (socket: Socket): void => {
    let pending: Buffer = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (let message = splitRequest(pending); message !== undefined; message = splitRequest(pending)) {
        pending = message.rest;
        const request = recorder.record(message.method, message.url, message.rawHeaders, message.body, socket);
        socket.on('close', () => {
          request.aborted = socket.readableEnded || socket.errored !== null;
        });
        reply(socket, request);
      }
    });
  };
  const server = options.tls === undefined ? createTcpServer(serve) : createTlsServer(options.tls, serve);
  server.on('tlsClientError', () => {});
  return listen(server, options.tls !== undefined, recorder);
}

/** An address on which nothing listens. */
export async function closedPort(): Promise<string> {
  const upstream = await startUpstream();
  await upstream.close();
  return upstream.url;
}

const ok = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

/** Row U1 of the threat table: what an upstream can do wrong after it has read a request. */
export const faults = {
  silent: () => {},
  resetsAtOnce: (socket) => reset(socket),
  closesAtOnce: (socket) => socket.end(),
  breaksOffHalfWay: (socket) => {
    socket.write(`${ok}content-length: 10\r\n\r\nhalf `, () => reset(socket));
  },
  endsShort: (socket) => socket.end(`${ok}content-length: 10\r\n\r\nhalf `),
  breaksOffInChunks: (socket) => {
    socket.write(`${ok}transfer-encoding: chunked\r\n\r\n5\r\nhalf \r\n`, () => reset(socket));
  },
  stallsHalfWay: (socket) => socket.write(`${ok}content-length: 10\r\n\r\nhalf `),
  sendsTooMuch: (socket) => socket.write(`${ok}content-length: 2\r\n\r\n{}and more`),
  interimStorm: (socket) => {
    const send = (): void => {
      if (!socket.destroyed) socket.write('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n', () => setImmediate(send));
    };
    send();
  },
  interimOnce: (socket) => {
    socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${ok}content-length: 2\r\n\r\n{}`);
  },
  status99: (socket) => socket.write('HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n'),
  status600: (socket) => socket.write('HTTP/1.1 600 High\r\ncontent-length: 0\r\n\r\n'),
  switchesProtocols: (socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  },
  switchesToNothing: (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
  hugeHeader: (socket) => socket.write(`${ok}x-huge: ${'h'.repeat(65_536)}\r\ncontent-length: 2\r\n\r\n{}`),
  headerWithLineBreak: (socket) => socket.write(`${ok}x-bad: a\rset-cookie: b\r\ncontent-length: 2\r\n\r\n{}`),
  headerWithNul: (socket) => socket.write(`${ok}x-bad: a\0b\r\ncontent-length: 2\r\n\r\n{}`),
  twoLengths: (socket) => socket.write(`${ok}content-length: 2\r\nContent-Length: 4\r\n\r\n{}{}`),
  lengthAndChunks: (socket) => {
    socket.write(`${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`);
  },
  notHttp: (socket) => socket.write('SSH-2.0-OpenSSH_9.6\r\n'),
  trailers: (socket) => {
    socket.write(`${ok}transfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n2\r\n{}\r\n0\r\nx-late: evil\r\n\r\n`);
  },
  compressionBomb: (socket) => {
    const bomb = gzipSync(Buffer.alloc(10_000_000));
    socket.write(`${ok}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
    socket.write(bomb);
  },
} as const satisfies Readonly<Record<string, RawReply>>;

function reset(socket: Socket): void {
  if ('encrypted' in socket) socket.destroy();
  else socket.resetAndDestroy();
}

type Recorder = ReturnType<typeof createRecorder>;

function createRecorder() {
  const requests: RecordedRequest[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  return {
    requests,
    connections: 0,
    record(method: string, url: string, rawHeaders: readonly string[], body: Buffer, socket: Socket): RecordedRequest {
      const request = { method, url, rawHeaders, body, header, clientCommonName: commonName(socket), aborted: false };
      requests.push(request);
      for (const { count, resolve } of waiting) if (requests.length >= count) resolve();
      return request;
    },
    received(count: number): Promise<void> {
      if (requests.length >= count) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ count, resolve }));
    },
  };
}

function header(this: RecordedRequest, name: string): readonly string[] {
  return this.rawHeaders.filter((_, index) => index % 2 === 1 && this.rawHeaders[index - 1]?.toLowerCase() === name);
}

function commonName(socket: Socket): string | undefined {
  if (!('getPeerCertificate' in socket)) return undefined;
  const name = (socket as TLSSocket).getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

async function listen(server: Server, secure: boolean, recorder: Recorder, fixedPort = 0): Promise<TestUpstream> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    recorder.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(fixedPort, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    requests: recorder.requests,
    connections: () => recorder.connections,
    openConnections: () => sockets.size,
    received: recorder.received,
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The first complete request in `bytes`; chunked bodies are beyond it, as the gateway sends none. */
function splitRequest(bytes: Buffer) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const [method = '', url = ''] = first.split(' ');
  const rawHeaders = lines.flatMap((line) => [
    line.slice(0, line.indexOf(':')),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  const lengthAt = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length');
  const bodyEnd = end + 4 + (lengthAt < 0 ? 0 : Number(rawHeaders[lengthAt + 1]));
  if (bytes.length < bodyEnd) return undefined;
  return { method, url, rawHeaders, body: bytes.subarray(end + 4, bodyEnd), rest: bytes.subarray(bodyEnd) };
}
