// Relay of an open WebSocket (RFC 6455): frames pass unchanged and are counted. A Close frame of the gateway ends it with its right.
import type { Socket } from 'node:net';
import { closeFrame, createFrameReader, type FrameReader } from '../http/websocket/frames.ts';
import type { OpenStream } from './transfer.ts';

/** Status codes of RFC 6455 §7.4.1. */
const goingAway = 1001;
const policyViolation = 1008;
/** Silence that ends a connection once a side has ended, or both have said Close. */
const closingMs = 2000;
const ignore = (): void => {};

/** An open WebSocket in both directions. */
export interface WebSocketRelay extends OpenStream {
  /** Number of messages by direction. */
  messages(): { readonly toUpstream: number; readonly toClient: number };
  /** Both sides have sent Close. */
  closedCleanly(): boolean;
}

interface Direction {
  readonly source: Socket;
  readonly target: Socket;
  readonly frames: FrameReader;
  /** The gateway's Close frame, sent after the current frame. */
  ending: Buffer | undefined;
  ended: boolean;
}

/**
 * Relays between client and upstream with backpressure. `head` are bytes that the client has sent behind its request. `idleMs` without bytes in
 * both directions cut the connection. `onBytes` gets the number of bytes of each write to the client.
 */
export function relayWebSocket(
  client: Socket,
  upstream: Socket,
  { head, idleMs, onBytes }: { readonly head: Buffer; readonly idleMs: number; onBytes(bytes: number): void },
): WebSocketRelay {
  const toUpstream = createDirection(client, upstream);
  const toClient = createDirection(upstream, client);
  let bytes = 0;
  const cut = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) socket.on('error', ignore).on('close', cut);
  client.setTimeout(idleMs, cut);
  const closedCleanly = (): boolean => toUpstream.frames.closed() && toClient.frames.closed();
  const limitClosing = (): void => void client.setTimeout(Math.min(closingMs, idleMs));
  for (const socket of [client, upstream]) socket.on('end', limitClosing);
  relay(toClient, (length) => {
    bytes += length;
    onBytes(length);
    if (closedCleanly()) limitClosing();
  });
  if (head.length > 0) client.unshift(head);
  relay(toUpstream, () => {
    if (closedCleanly()) limitClosing();
  });
  return {
    bytes: () => bytes,
    keepAlive: ignore,
    end(reason) {
      const code = reason === 'shutdown' ? goingAway : policyViolation;
      endAfterFrame(toClient, closeFrame(code, reason, false));
      endAfterFrame(toUpstream, closeFrame(code, reason, true));
    },
    cut,
    messages: () => ({ toUpstream: toUpstream.frames.messages(), toClient: toClient.frames.messages() }),
    closedCleanly,
  };
}

function createDirection(source: Socket, target: Socket): Direction {
  return { source, target, frames: createFrameReader(), ending: undefined, ended: false };
}

function relay(direction: Direction, onBytes: (length: number) => void): void {
  const { source, target, frames } = direction;
  source.on('data', (chunk: Buffer) => {
    if (direction.ended) return;
    const last = direction.ending && frames.lengthToEnd(chunk);
    const relayed = last === undefined ? chunk : chunk.subarray(0, last);
    frames.read(relayed);
    onBytes(relayed.length);
    if (!target.write(relayed)) source.pause();
    if (last !== undefined) finish(direction);
  });
  target.on('drain', () => source.resume());
  source.on('end', () => {
    if (!direction.ended) target.end();
  });
  source.resume();
}

function endAfterFrame(direction: Direction, frame: Buffer): void {
  if (direction.ending !== undefined) return;
  direction.ending = frame;
  if (direction.frames.isBetweenFrames()) finish(direction);
}

function finish(direction: Direction): void {
  direction.ended = true;
  direction.target.end(direction.ending!);
}
