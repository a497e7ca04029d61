// Floods of strangers on loopback, each bounded in connections and time. Run as a process of its own: `node flood.ts <kind> <options as JSON>`.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface FloodOptions {
  readonly port: number;
  readonly connections: number;
  /** The flood lasts so long, whatever is left to send. */
  readonly seconds: number;
  /** Source addresses, in turn. */
  readonly addresses: readonly string[];
  /** An `Authorization` header; none without it. */
  readonly authorization?: string;
  /** What is pipelined; a call of a tool by default. */
  readonly request?: string;
}

/** What a flood got done. */
export interface FloodReport {
  readonly connected: number;
  readonly sent: number;
  readonly answers: number;
  /** Connections that the gateway ended. */
  readonly ended: number;
}

export type FloodKind = keyof typeof floods;

const answerStart = 'HTTP/1.1 ';
const body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards"}}';

function requestOf({ authorization }: FloodOptions, framing: string): string {
  const credential = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
  return `POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n${credential}Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n${framing}\r\n\r\n`;
}

const wholeRequest = (options: FloodOptions) => requestOf(options, `Content-Length: ${body.length}`) + body;

interface Flood {
  readonly options: FloodOptions;
  readonly over: AbortSignal;
  readonly sockets: readonly Socket[];
  sent: number;
  answers: number;
}

const floods = {
  /** 40,000 requests on each connection; answers are never read. */
  async pipelined(flood: Flood) {
    const { request = wholeRequest(flood.options) } = flood.options;
    const batch = Buffer.from(request.repeat(100));
    await each(flood, async (socket) => {
      socket.pause();
      for (let round = 0; round < 400; round += 1) {
        await write(flood, socket, batch);
        flood.sent += 100;
      }
    });
  },

  /** One body of 1 MiB on each connection, in chunks of one byte. */
  async chunks(flood: Flood) {
    const head = Buffer.from(requestOf(flood.options, 'Transfer-Encoding: chunked'));
    const some = Buffer.from('1\r\n \r\n'.repeat(256));
    await each(flood, async (socket) => {
      await write(flood, socket, head);
      for (let round = 0; round < 4096; round += 1) {
        await write(flood, socket, some);
        flood.sent += 256;
      }
    });
  },

  /** Requests that are refused, eight under way on each connection, as fast as they are answered. */
  async refusals(flood: Flood) {
    const batch = Buffer.from(wholeRequest(flood.options).repeat(8));
    await each(flood, async (socket) => {
      let due = 0;
      onAnswer(socket, () => (due -= 1));
      for (;;) {
        await write(flood, socket, batch);
        flood.sent += 8;
        due += 8;
        while (due > 0) await readable(flood, socket);
      }
    });
  },

  /** One request on each connection, each with a token of its own; then the next. */
  async tokens(flood: Flood) {
    await each(flood, async (socket) => {
      for (;;) {
        const authorization = `Bearer ${crypto.randomUUID()}`;
        await write(flood, socket, Buffer.from(wholeRequest({ ...flood.options, authorization })));
        flood.sent += 1;
        await readable(flood, socket);
      }
    });
  },

  /** Half of the connections send nothing, half the first bytes of a TLS hello. */
  async silence(flood: Flood) {
    const hello = Buffer.from('16030100c8010000c40303', 'hex');
    flood.sockets.forEach((socket, index) => {
      if (index % 2 === 0) socket.write(hello);
    });
    await delay(flood.options.seconds * 1000);
  },
} satisfies Record<string, (flood: Flood) => Promise<void>>;

/** Calls `found` for each head that has begun, also for one that is cut within its first word. */
function onAnswer(socket: Socket, found: () => void): void {
  let tail = '';
  socket.on('data', (bytes: Buffer) => {
    const text = tail + bytes.toString('latin1');
    let end = 0;
    for (let at = text.indexOf(answerStart); at !== -1; at = text.indexOf(answerStart, end)) {
      end = at + answerStart.length;
      found();
    }
    tail = text.slice(Math.max(end, text.length - answerStart.length + 1));
  });
}

/** Runs one task for each connection, until it ends, its connection ends or the time is over. */
async function each(flood: Flood, task: (socket: Socket) => Promise<void>): Promise<void> {
  await Promise.all(flood.sockets.map((socket) => task(socket).catch(() => {})));
}

async function write({ over }: Flood, socket: Socket, bytes: Buffer): Promise<void> {
  over.throwIfAborted();
  if (socket.destroyed) throw new Error('the connection has ended');
  if (!socket.write(bytes)) await once(socket, 'drain', { signal: over });
}

async function readable({ over }: Flood, socket: Socket): Promise<void> {
  if (socket.destroyed) throw new Error('the connection has ended');
  await once(socket, 'data', { signal: over });
}

async function run(kind: FloodKind, options: FloodOptions): Promise<FloodReport> {
  const { addresses, port } = options;
  let [connected, ended] = [0, 0];
  let isOver = false;
  const sockets = Array.from({ length: options.connections }, (_, index) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: addresses[index % addresses.length]! });
    socket.on('connect', () => (connected += 1));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (!isOver) ended += 1;
    });
    return socket;
  });
  const flood: Flood = { options, sockets, over: AbortSignal.timeout(options.seconds * 1000), sent: 0, answers: 0 };
  for (const socket of sockets) onAnswer(socket, () => (flood.answers += 1));
  await floods[kind](flood);
  isOver = true;
  for (const socket of sockets) socket.destroy();
  return { connected, ended, sent: flood.sent, answers: flood.answers };
}

if (import.meta.main) {
  const [kind, options] = process.argv.slice(2) as [FloodKind, string];
  process.stdout.write(JSON.stringify(await run(kind, JSON.parse(options))));
}
