// Bodies on a pipelined connection: they are read as they were sent, and the memory that they came in is freed once it was copied.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { readBody } from '../../src/http/body/body.ts';
import { acceptRequest, endRequest, pipelineRequests, takeInTurn } from '../../src/http/connection/pipelining.ts';
import { createReadTurns } from '../../src/http/connection/read-turns.ts';

const limits = { bodyBytes: 16 * 1024 * 1024, receiveTimeoutMs: 60_000 };
const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A server that answers with the digest of the body, and at once where the path is `/unread`. It notes what comes from sockets and parser. */
async function start(t: Test) {
  const chunks: { readonly bytes: number; readonly chunk: Buffer }[] = [];
  const pieces: typeof chunks = [];
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('close', () => endRequest(request));
    if (request.url === '/unread') {
      response.end('unread');
      return;
    }
    request.on('data', (chunk: Buffer) => pieces.push({ bytes: chunk.length, chunk }));
    const body = await readBody(request, response, limits, () => {});
    acceptRequest(request);
    response.end(digest(body));
  }
  const turns = createReadTurns();
  const server = createServer(takeInTurn);
  server.on('connection', (socket: Socket) => {
    const { push } = socket;
    socket.push = (chunk: Buffer | null) => {
      if (chunk !== null) chunks.push({ bytes: chunk.length, chunk });
      return push.call(socket, chunk);
    };
    pipelineRequests(
      socket,
      (...each) => void answer(...each),
      () => 8,
      turns,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  /** Sends the bytes in parts of these lengths, then the rest, and yields the bodies of so many answers. */
  async function talk(bytes: Buffer, cuts: readonly number[], count: number): Promise<readonly string[]> {
    const socket = connect(port, '127.0.0.1').setNoDelay();
    let text = '';
    socket.on('data', (chunk) => (text += chunk));
    const answers = () => [...text.matchAll(/^([0-9a-f]{64}|unread)/gm)].map(([answer]) => answer);
    let from = 0;
    for (const cut of cuts) {
      socket.write(bytes.subarray(from, from + cut));
      from += cut;
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write(bytes.subarray(from));
    while (answers().length < count) await once(socket, 'data');
    socket.destroy();
    return answers();
  }
  return { chunks, pieces, talk };
}

const announced = (body: Buffer, path = '/') =>
  Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`), body]);
const chunked = (body: Buffer) =>
  Buffer.concat([
    Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'),
    ...(body.length > 0 ? [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')] : []),
    Buffer.from('0\r\n\r\n'),
  ]);

t.test('a body of 1 MiB and of known length: what it came in is freed as it is copied', async (t) => {
  const { chunks, pieces, talk } = await start(t);
  const body = randomBytes(1024 * 1024);
  t.same(await talk(announced(body), [], 1), [digest(body)]);
  const bytesOf = (all: typeof chunks) => all.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const [name, all] of Object.entries({ chunks, pieces })) {
    const held = all.filter(({ chunk }) => chunk.length > 0);
    t.ok(bytesOf(all) >= body.length, `${name}: all were seen`);
    t.ok(bytesOf(held) <= 65_536, `${name}: the last may stay`);
  }
});

t.test(
  'bodies behind each other, of whatever framing and cut, that look like requests: each is read as it was sent',
  async (t) => {
    const { talk } = await start(t);
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 1, max: 40_000 }).map((bytes) => Buffer.alloc(bytes, announced(Buffer.from('{}')))),
    );
    const request = fc.record({ content, isChunked: fc.boolean() });
    const cuts = fc.array(fc.integer({ min: 1, max: 30_000 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 5 }), cuts, async (requests, cuts) => {
        const sent = requests.map(({ content, isChunked }) => (isChunked ? chunked : announced)(content));
        const answers = await talk(Buffer.concat(sent), cuts, sent.length);
        t.same(
          answers,
          requests.map(({ content }) => digest(content)),
        );
      }),
      { numRuns: 60 },
    );
  },
);

t.test('a body that is dropped unread, and a request behind it in the same bytes', async (t) => {
  const { talk } = await start(t);
  const body = Buffer.alloc(100_000, announced(Buffer.from('{}')));
  const behind = randomBytes(50_000);
  const bytes = Buffer.concat([
    announced(body, '/unread'),
    announced(behind),
    announced(body, '/unread'),
    chunked(behind),
  ]);
  for (const cuts of [[], [10], [70_000], [100_200], [50_000, 50_100]]) {
    t.same(await talk(bytes, cuts, 4), ['unread', digest(behind), 'unread', digest(behind)]);
  }
});
