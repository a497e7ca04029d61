// Coalescing of the pieces of a request body that nobody reads yet: Node queues a Buffer for each chunk, however short.
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { hasBody } from '../framing.ts';
import { createByteBuffer } from './byte-buffer.ts';

/** Bytes of a body that nobody reads yet, after which the connection is not read any more. */
const unreadBytes = 16_384;
/** Bytes of a piece that is queued as it is: its own memory is most of what it costs. */
const largePiece = 4096;
/** Pieces of one turn of the event loop, after which other connections are read first. */
const piecesPerTurn = 256;
const empty = Buffer.alloc(0);

/** Told the bytes of each piece, as the parser gives it. */
type CountPiece = (request: IncomingMessage, bytes: number) => void;

/** Lets other connections be read first; gets the function that says whether to read on. */
type YieldTurn = (isWanted: () => boolean) => void;

/**
 * Creates a function that holds the pieces of a request's body in one buffer until they are read, and hands them over together. Node makes a Buffer
 * of some hundred bytes for each chunk, however short, and queues them. The first piece is queued as it is: most bodies have no other. The function is
 * called before the first byte of the body. `turnOf` gives what is called where one turn of the event loop brings many pieces; `count` is told each piece.
 */
export function createBodyCoalescer(
  turnOf: (request: IncomingMessage) => YieldTurn,
  count: CountPiece,
): (request: IncomingMessage) => void {
  const { push } = Readable.prototype;
  function pushFirst(this: IncomingMessage, piece: Buffer | null): boolean {
    this.push = pushSecond;
    if (piece !== null) count(this, piece.length);
    return push.call(this, piece);
  }
  function pushSecond(this: IncomingMessage, piece: Buffer | null): boolean {
    this.push = push;
    if (piece !== null) coalesceRest(this, turnOf(this), count);
    return this.push(piece);
  }
  return (request) => {
    if (hasBody(request)) request.push = pushFirst;
  };
}

function coalesceRest(request: IncomingMessage, yieldTurn: YieldTurn, count: CountPiece): void {
  const { push, _read: readMore } = request;
  const held = createByteBuffer();
  let isWanted = request.readableLength === 0;
  let isScheduled = false;
  let pieces = 0;
  const handOver = (): void => {
    pieces = 0;
    if (held.length() > 0) push.call(request, held.take());
    isWanted = request.readableLength === 0;
  };
  const hasRoom = (): boolean => isWanted || held.length() < unreadBytes;
  const handOverLater = (): void => {
    isScheduled = false;
    if (isWanted) handOver();
  };
  request._read = (size) => {
    isWanted = request.readableLength === 0;
    // Ends this read without a byte: the queue has one piece already.
    if (!isWanted) push.call(request, empty);
    else if (held.length() > 0) handOver();
    else readMore.call(request, size);
  };
  request.push = (piece: Buffer | null) => {
    if (piece === null) {
      handOver();
      return push.call(request, null);
    }
    count(request, piece.length);
    if (piece.length >= largePiece && held.length() === 0) {
      const hasMoreRoom = push.call(request, piece);
      isWanted &&= request.readableLength === 0;
      return hasMoreRoom;
    }
    held.append(piece);
    if (isWanted && held.length() >= unreadBytes) handOver();
    else if (isWanted && !isScheduled) {
      isScheduled = true;
      // Node runs ticks and microtasks after each chunk.
      setImmediate(handOverLater);
    }
    pieces += 1;
    if (pieces % piecesPerTurn === 0) yieldTurn(hasRoom);
    return hasRoom();
  };
}
