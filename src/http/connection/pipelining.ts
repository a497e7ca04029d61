// Pipelining (RFC 9112 §9.3.2): a bounded number of requests of one connection under way, and none behind one that may close it.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createBodyCoalescer } from '../body/coalescer.ts';
import { freeBuffer } from '../body/free.ts';
import type { ReadTurns } from './read-turns.ts';
import { dropInput } from './staged-close.ts';

/** The requests of one connection. */
interface Pipeline {
  /** Number of requests that were taken, and whose responses have not closed. */
  open: number;
  /** The last of them is accepted: its refusal cannot close the connection any more. */
  accepted: boolean;
  /** Parsed requests that are not taken yet, with their responses; nothing is read meanwhile. */
  readonly held: (readonly [request: IncomingMessage, response: ServerResponse])[];
  /** They will be looked at. */
  scheduled: boolean;
  readonly listener: RequestListener;
  readonly limit: () => number;
  readonly turns: ReadTurns;
  /** The request that was parsed last, until its response has closed: then the parser drops the rest of its body. */
  parsed: IncomingMessage | undefined;
  /** Of its body, where its length was announced: bytes that the parser has not given yet. */
  bodyLeft: number;
  /** Waits for its turn to be read. */
  isWaiting: boolean;
  /** Refuses the bytes behind the last request, which are none. */
  refuseRest: (() => void) | undefined;
}

interface PipelinedSocket extends Socket {
  [pipeline]?: Pipeline;
  /** Node has paused it until the client reads. */
  readonly _paused?: boolean;
}

const pipeline = Symbol('pipeline');
const headEnd = Buffer.from('\r\n\r\n');
/** Bounds the requests that Node parses, and makes objects of, before the first of them can pause the connection. */
const headsPerPiece = 8;
/** Chunks may all be of one byte: each costs about a microsecond. Node copies each piece of a body, and large copies are collected late. */
const bytesPerPiece = 4096;
const coalesceBody = createBodyCoalescer(turnOf, countBody);
const ignore = (): void => {};

/**
 * Prepares a connection for `takeInTurn`: `listener` gets at most `limit()` of its requests at once, and the next only when the one before is
 * accepted or answered. Meanwhile the connection is not read. A read is parsed in pieces until its rest is of a body of known length: Node would
 * take thousands of requests out of one.
 */
export function pipelineRequests(
  socket: PipelinedSocket,
  listener: RequestListener,
  limit: () => number,
  turns: ReadTurns,
): void {
  const own: Pipeline = {
    open: 0,
    accepted: false,
    held: [],
    scheduled: false,
    listener,
    limit,
    turns,
    parsed: undefined,
    bodyLeft: 0,
    isWaiting: false,
    refuseRest: undefined,
  };
  socket[pipeline] = own;
  // A listener makes Node hand what it reads to the stream, where it can be cut, and not to the parser.
  socket.on('data', ignore).off('data', ignore);
  const { push, resume } = socket;
  const pushFirst = (chunk: Buffer, end: number): Buffer => {
    push.call(socket, chunk.subarray(0, end));
    return chunk.subarray(end);
  };
  socket.push = (chunk: Buffer | null) => {
    if (chunk === null) return push.call(socket, null);
    let rest = chunk;
    if (!isOfBody(own, socket, rest)) {
      for (let end = endOfPiece(rest, 2); end > 0; end = endOfPiece(rest, 1)) rest = pushFirst(rest, end);
      while (rest.length > bytesPerPiece && !isOfBody(own, socket, rest)) rest = pushFirst(rest, bytesPerPiece);
    }
    const left = isOfBody(own, socket, rest) ? own.bodyLeft - rest.length : undefined;
    const hasRoom = push.call(socket, rest);
    // The parser has copied all of it.
    if (own.bodyLeft === left) freeBuffer(chunk);
    return hasRoom;
  };
  socket.resume = () => (socket._paused || own.held.length > 0 || own.isWaiting ? socket : resume.call(socket));
}

/** The listener of a server for the requests of prepared connections. */
export function takeInTurn(request: IncomingMessage, response: ServerResponse): void {
  const socket = request.socket as PipelinedSocket;
  const own = socket[pipeline]!;
  own.parsed = request;
  own.bodyLeft =
    request.headers['transfer-encoding'] === undefined ? Number(request.headers['content-length'] ?? 0) : 0;
  coalesceBody(request);
  if (own.held.length === 0 && mayTake(own)) take(own, request, response);
  else {
    own.held.push([request, response]);
    socket.pause();
  }
}

function countBody({ socket }: IncomingMessage, bytes: number): void {
  (socket as PipelinedSocket)[pipeline]!.bodyLeft -= bytes;
}

/** True if the parser is in a body of known length, and the chunk has no byte behind it. */
function isOfBody({ bodyLeft, parsed }: Pipeline, socket: Socket, chunk: Buffer): boolean {
  return chunk.length <= bodyLeft && socket.readableLength === 0 && parsed?.complete === false;
}

function turnOf({ socket }: IncomingMessage): (isWanted: () => boolean) => void {
  return (isWanted) => waitForTurn((socket as PipelinedSocket)[pipeline]!, socket, isWanted);
}

/** Reads other connections first. */
function waitForTurn(own: Pipeline, socket: Socket, isWanted: () => boolean): void {
  if (own.isWaiting) return;
  own.isWaiting = true;
  socket.pause();
  own.turns(() => {
    own.isWaiting = false;
    if (isWanted()) socket.resume();
  });
}

/** The request is decided: the next one of its connection may be taken. */
export function acceptRequest({ socket }: IncomingMessage): void {
  const own = (socket as PipelinedSocket)[pipeline];
  if (own === undefined) return;
  own.accepted = true;
  takeLater(own, socket);
}

/** The response to the request has closed. */
export function endRequest(request: IncomingMessage): void {
  const socket = request.socket as PipelinedSocket;
  const own = socket[pipeline];
  // An offer to switch protocols was not taken in turn.
  if (own === undefined || own.open === 0) return;
  if (own.parsed === request) own.parsed = undefined;
  own.open -= 1;
  takeLater(own, socket);
  endRest(own);
}

/**
 * Reads nothing more of a connection whose bytes behind the complete requests are no request. `refuse` is called once, behind the last answer to them,
 * or when the client has left.
 */
export function refuseRest(socket: PipelinedSocket, refuse: () => void): void {
  const own = socket[pipeline];
  // A handshake failed.
  if (own === undefined) {
    refuse();
    return;
  }
  if (own.refuseRest !== undefined) return;
  own.refuseRest = refuse;
  // The bytes broke its body.
  if (own.held.at(-1)?.[0].complete === false) own.held.pop();
  dropInput(socket);
  endRest(own);
}

function endRest({ held, open, refuseRest: refuse }: Pipeline): void {
  if (open === 0 && held.length === 0) refuse?.();
}

/** True if every request of the connection has been answered. */
export function isIdle(socket: PipelinedSocket): boolean {
  return socket[pipeline]?.open === 0;
}

function mayTake({ accepted, limit, open }: Pipeline): boolean {
  return open === 0 || (accepted && open < limit());
}

function take(own: Pipeline, request: IncomingMessage, response: ServerResponse): void {
  own.open += 1;
  own.accepted = false;
  own.listener(request, response);
}

/** Lets other connections go first: what the gateway answers by itself ends at once, and thousands would in one turn of the event loop. */
function takeLater(own: Pipeline, socket: Socket): void {
  if (own.held.length === 0 || own.scheduled) return;
  own.scheduled = true;
  setImmediate(takeHeld, own, socket);
}

function takeHeld(own: Pipeline, socket: Socket): void {
  own.scheduled = false;
  // The last response closes the connection, or the client has left.
  if (!socket.writable) own.held.length = 0;
  while (own.held.length > 0 && mayTake(own)) take(own, ...own.held.shift()!);
  socket.resume();
  endRest(own);
}

/**
 * The offset to cut a read at; 0 for one that is a piece by itself. A piece ends behind its eighth head, or behind the last one of at least
 * `least`: the parser would set a time limit to the half head of a paused connection.
 */
function endOfPiece(chunk: Buffer, least: number): number {
  let end = 0;
  for (let heads = 0; heads < headsPerPiece; heads += 1) {
    const at = chunk.indexOf(headEnd, end);
    if (at === -1) {
      if (heads < least) return 0;
      break;
    }
    end = at + headEnd.length;
  }
  return end === chunk.length ? 0 : end;
}
