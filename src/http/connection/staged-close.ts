// Staged close of a connection (RFC 9112 §9.6): what still comes is dropped, so that no reset overtakes the last response.
import type { Socket } from 'node:net';

/** Bytes of one connection that are read and dropped, such as the rest of a refused upload; beyond, it is closed. */
const maxDroppedBytes = 64 * 1024 * 1024;
/** Silence of a client that has been told to go. */
const idleMs = 5000;

/** Makes `destroySoon`, with which Node ends a connection behind its last response, close in stages. `timeoutMs` bounds all of them. */
export function closeInStages(socket: Socket, timeoutMs: () => number): void {
  const { destroySoon } = socket;
  const destroy = (): void => void socket.destroy();
  socket.destroySoon = () => {
    socket.destroySoon = destroySoon;
    if (!socket.writable || socket.readableEnded) return socket.destroySoon();
    const late = setTimeout(destroy, timeoutMs()).unref();
    socket.on('close', () => clearTimeout(late)).on('end', destroySoon);
    socket.setTimeout(idleMs, destroy);
    socket.end();
    dropInput(socket);
  };
}

/** Drops what still comes; the parser gets nothing more. */
export function dropInput(socket: Socket): void {
  let left = maxDroppedBytes;
  socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) socket.destroy();
  });
  socket.resume();
}
