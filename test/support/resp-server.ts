// A server that speaks the protocol of Redis (RESP 2) on a real socket: it keeps keys as Redis does, unless it is told to answer otherwise.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

/** In place of its own answer: bytes of RESP, silence, or the end of the connection in the middle of an answer. */
export type ScriptedReply = string | 'silence' | 'cut';

export interface RespServer {
  readonly port: number;
  /** `redis://127.0.0.1:PORT/0`. */
  readonly url: string;
  /** All commands so far, in words; scripts are `EVAL`, key and arguments. */
  readonly commands: string[][];
  /** Keys with what they hold; nothing ends by itself. */
  readonly keys: Map<string, string>;
  /** What answers each command; undefined where the server answers by itself. */
  script: ((command: readonly string[]) => ScriptedReply | undefined) | undefined;
  /** The number of open connections. */
  connections(): number;
  /** Ends all connections, and takes no new one until `listen`. */
  stop(): Promise<void>;
  listen(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the server on a port of its own, with TLS where there are options of it. */
export async function startRespServer(tls?: TlsOptions): Promise<RespServer> {
  const sockets = new Set<Socket>();
  const commands: string[][] = [];
  const keys = new Map<string, string>();
  let server: Server | undefined;
  let port = 0;

  function answer(socket: Socket, words: string[]): void {
    const command = words[0] === 'EVAL' ? ['EVAL', ...words.slice(3)] : words;
    commands.push(command);
    const scripted = resp.script?.(command);
    if (scripted === 'silence') return;
    if (scripted === 'cut') return void socket.end('$100\r\nbegun', () => socket.destroy());
    socket.write(scripted ?? answerOf(words, keys));
  }

  const resp: RespServer = {
    get port() {
      return port;
    },
    get url() {
      return `redis://127.0.0.1:${port}/0`;
    },
    commands,
    keys,
    script: undefined,
    connections: () => sockets.size,
    async listen() {
      const serve = (socket: Socket): void => {
        sockets.add(socket);
        let rest = '';
        socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
        socket.setEncoding('latin1').on('data', (text: string) => {
          rest += text;
          for (let read = readCommand(rest); read !== undefined; read = readCommand(rest)) {
            rest = rest.slice(read.length);
            answer(socket, read.words);
          }
        });
      };
      server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      ({ port } = server.address() as AddressInfo);
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      if (server === undefined) return;
      const closed = once(server, 'close');
      server.close();
      server = undefined;
      await closed;
    },
    close: () => resp.stop(),
  };
  await resp.listen();
  return resp;
}

/** An array of bulk strings; undefined while it is not whole. */
function readCommand(text: string): { readonly words: string[]; readonly length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  let at = head[0].length;
  const words: string[] = [];
  for (let left = Number(head[1]); left > 0; left -= 1) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (size === null) return undefined;
    at += size[0].length;
    const end = at + Number(size[1]);
    if (text.length < end + 2) return undefined;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, length: at };
}

function answerOf([name = '', ...words]: string[], keys: Map<string, string>): string {
  if (name === 'EVAL') return words[3] === '1' ? '*2\r\n:1\r\n:2000\r\n' : '+OK\r\n';
  if (name !== 'SET') return '+OK\r\n';
  const [key = '', value = '', ...options] = words;
  const held = keys.get(key);
  if (held === undefined || !options.includes('NX')) keys.set(key, value);
  if (options.includes('GET')) return held === undefined ? '$-1\r\n' : `$${held.length}\r\n${held}\r\n`;
  return held === undefined || !options.includes('NX') ? '+OK\r\n' : '$-1\r\n';
}
