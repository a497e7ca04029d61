// Client that writes bytes: what leaves the socket is exactly what the test says, and every answer is read back.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** By lower-case name; the last of several. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Record<string, unknown> | undefined;
}

export interface RawConversation {
  /** All answers, interim ones too, in their order. */
  readonly answers: readonly RawAnswer[];
  /** Everything that came. */
  readonly text: string;
  /** The gateway ended the connection by itself. */
  readonly closed: boolean;
}

export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Buffer): void;
  /** Resolves when `count` complete answers have come or the gateway has closed; fails after a minute. */
  answers(count?: number): Promise<RawConversation>;
  /** Resolves when an interim response has come (RFC 9110 §15.2) or the gateway has closed; fails after a minute. */
  interim(): Promise<RawConversation>;
  /** Resolves when the gateway has closed the connection; fails after a minute. */
  closed(): Promise<RawConversation>;
  end(): void;
}

const patienceMs = 60_000;

/** Opens a connection. */
export async function rawConnection(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1');
  let received: Buffer = Buffer.alloc(0);
  let closed = false;
  let wake = () => {};
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    wake();
  });
  socket.on('error', () => {});
  for (const event of ['end', 'close'] as const)
    socket.on(event, () => {
      closed = true;
      wake();
    });
  await once(socket, 'connect');

  async function until(reached: () => boolean): Promise<RawConversation> {
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      wake();
    }, patienceMs);
    while (!reached() && !closed && !late) await new Promise<void>((resolve) => (wake = resolve));
    clearTimeout(deadline);
    const text = received.toString('latin1');
    if (late) throw new Error(`it did not come within ${patienceMs} ms: ${JSON.stringify(text)}`);
    return { answers: parseAnswers(received), text, closed };
  }

  return {
    socket,
    write: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    answers: (count = 1) => until(() => finalAnswers(parseAnswers(received)) >= count),
    interim: () => until(() => parseAnswers(received).length > 0),
    closed: () => until(() => false),
    end: () => socket.destroy(),
  };
}

/** Sends `bytes` (text as latin1) on a connection of its own and waits for `count` answers. */
export async function talk(port: number, bytes: string | Buffer, count = 1): Promise<RawConversation> {
  const connection = await rawConnection(port);
  connection.write(bytes);
  const conversation = await connection.answers(count);
  connection.end();
  return conversation;
}

/** A request head from its lines, and a body. */
export function rawRequest(lines: readonly string[], body = ''): string {
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

function finalAnswers(answers: readonly RawAnswer[]): number {
  return answers.filter(({ status }) => status >= 200).length;
}

/** Complete answers with a length or chunks; what is cut short is left out. */
function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = bytes; ; ) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return answers;
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0);
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const content = rest.subarray(end + 4);
    const read =
      headers['transfer-encoding'] === 'chunked' ? readChunks(content) : readLength(content, status, headers);
    if (read === undefined) return answers;
    answers.push({ status, headers, body: read.body, json: parseJson(read.body) });
    rest = content.subarray(read.length);
  }
}

function readLength(content: Buffer, status: number, headers: Readonly<Record<string, string>>) {
  const length = status < 200 || status === 204 || status === 304 ? 0 : Number(headers['content-length'] ?? 0);
  return content.length < length ? undefined : { body: content.subarray(0, length).toString(), length };
}

function readChunks(content: Buffer) {
  let body = '';
  for (let at = 0; ; ) {
    const line = content.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(content.subarray(at, line).toString('latin1'), 16);
    const next = line + 2 + size + 2;
    if (content.length < next) return undefined;
    if (size === 0) return { body, length: next };
    body += content.subarray(line + 2, next - 2).toString();
    at = next;
  }
}

function parseJson(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
