// Relay of an open WebSocket (RFC 6455): frames pass unchanged and are counted. A Close frame of the gateway ends it with its right.
import type { Socket } from 'node:net';
import { closeFrame, createFrameReader, type FrameReader } from '../http/websocket-frames.ts';
import type { OpenStream } from './transfer.ts';

/** RFC 6455 §7.4.1: the gateway goes away, or its policy ends the connection. */
const goingAway = 1001;
const policyViolation = 1008;
const ignore = (): void => {};

/** An open WebSocket in both directions. */
export interface WebSocketRelay extends OpenStream {
  /** Messages that have passed, by their direction. */
  messages(): { readonly toUpstream: number; readonly toClient: number };
  /** Both sides have said Close: nothing was broken off. */
  closedCleanly(): boolean;
}

interface Direction {
  readonly source: Socket;
  readonly target: Socket;
  readonly frames: FrameReader;
  /** The Close frame that ends it behind the frame that is on its way. */
  ending: Buffer | undefined;
  ended: boolean;
}

/**
 * Joins the sockets of client and upstream. Each is read at the pace of the other, so that nothing gathers. `head` is what the client has sent
 * behind its request; `idleMs` of silence on both sides end the connection; `onBytes` counts what goes to the client.
 */
export function relayWebSocket(
  client: Socket,
  upstream: Socket,
  { head, idleMs, onBytes }: { readonly head: Buffer; readonly idleMs: number; onBytes(bytes: number): void },
): WebSocketRelay {
  const toUpstream: Direction = direction(client, upstream);
  const toClient: Direction = direction(upstream, client);
  let bytes = 0;
  const cut = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) socket.on('error', ignore).on('close', cut);
  client.setTimeout(idleMs, cut);
  pass(toClient, (length) => {
    bytes += length;
    onBytes(length);
  });
  if (head.length > 0) client.unshift(head);
  pass(toUpstream, ignore);
  return {
    bytes: () => bytes,
    keepAlive: ignore,
    end(reason) {
      const code = reason === 'shutdown' ? goingAway : policyViolation;
      endBehindFrame(toClient, closeFrame(code, reason, false));
      endBehindFrame(toUpstream, closeFrame(code, reason, true));
    },
    cut,
    messages: () => ({ toUpstream: toUpstream.frames.messages(), toClient: toClient.frames.messages() }),
    closedCleanly: () => toUpstream.frames.closed() && toClient.frames.closed(),
  };
}

function direction(source: Socket, target: Socket): Direction {
  return { source, target, frames: createFrameReader(), ending: undefined, ended: false };
}

function pass(way: Direction, onBytes: (length: number) => void): void {
  const { source, target, frames } = way;
  source.on('data', (chunk: Buffer) => {
    if (way.ended) return;
    const last = way.ending && frames.within(chunk);
    const passed = last === undefined ? chunk : chunk.subarray(0, last);
    frames.read(passed);
    onBytes(passed.length);
    if (!target.write(passed)) source.pause();
    if (last !== undefined) finish(way);
  });
  target.on('drain', () => source.resume());
  source.on('end', () => {
    if (!way.ended) target.end();
  });
  source.resume();
}

function endBehindFrame(way: Direction, frame: Buffer): void {
  if (way.ending !== undefined) return;
  way.ending = frame;
  if (way.frames.betweenFrames()) finish(way);
}

function finish(way: Direction): void {
  way.ended = true;
  way.target.end(way.ending!);
}
