// Incremental reader of WebSocket frames (RFC 6455 §5.2): ends of frames and number of messages. Keeps no payload.

const continuation = 0x0;
const binary = 0x2;
const close = 0x8;

/** Parser of one direction of a connection. */
export interface FrameReader {
  /** Reads the next bytes. */
  read(chunk: Buffer): void;
  /** The bytes so far end between two frames. */
  isBetweenFrames(): boolean;
  /** The number of bytes of `chunk` that belong to the current frame; undefined when it does not end there. */
  lengthToEnd(chunk: Buffer): number | undefined;
  /** Number of complete messages; control frames do not count. */
  messages(): number;
  /** A Close frame has been read. */
  closed(): boolean;
}

interface Position {
  /** First two bytes of the frame's head. */
  first: number;
  second: number;
  headBytes: number;
  /** Length of the head; final once its second byte has been read. */
  headLength: number;
  payloadLeft: number;
  messages: number;
  closed: boolean;
}

/** Creates a reader at the start of a stream. */
export function createFrameReader(): FrameReader {
  const position: Position = {
    first: 0,
    second: 0,
    headBytes: 0,
    headLength: 2,
    payloadLeft: 0,
    messages: 0,
    closed: false,
  };
  return {
    read(chunk) {
      let at = 0;
      while (at < chunk.length) at = readPart(position, chunk, at);
    },
    isBetweenFrames: () => position.headBytes === 0,
    lengthToEnd(chunk) {
      const ahead = { ...position };
      let at = 0;
      while (at < chunk.length) {
        at = readPart(ahead, chunk, at);
        if (ahead.headBytes === 0) return at;
      }
      return undefined;
    },
    messages: () => position.messages,
    closed: () => position.closed,
  };
}

/** Reads one byte of a head, or the available bytes of a payload, and gives the offset after them. */
function readPart(position: Position, chunk: Buffer, at: number): number {
  if (position.headBytes < position.headLength) {
    readHeadByte(position, chunk[at]!);
    if (position.headBytes === position.headLength && position.payloadLeft === 0) endFrame(position);
    return at + 1;
  }
  const taken = Math.min(position.payloadLeft, chunk.length - at);
  position.payloadLeft -= taken;
  if (position.payloadLeft === 0) endFrame(position);
  return at + taken;
}

function readHeadByte(position: Position, byte: number): void {
  const index = position.headBytes++;
  if (index === 0) position.first = byte;
  else if (index === 1) {
    position.second = byte;
    const length = byte & 0x7f;
    position.headLength = 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (byte & 0x80 ? 4 : 0);
    position.payloadLeft = length < 126 ? length : 0;
  } else if (index < lengthEnd(position.second)) position.payloadLeft = position.payloadLeft * 256 + byte;
}

/** Offset after the extended length of a head; the masking key follows. */
function lengthEnd(second: number): number {
  const length = second & 0x7f;
  return length === 126 ? 4 : length === 127 ? 10 : 2;
}

function endFrame(position: Position): void {
  const opcode = position.first & 0x0f;
  const isFinal = (position.first & 0x80) !== 0;
  if (opcode === close) position.closed = true;
  else if (isFinal && opcode >= continuation && opcode <= binary) position.messages += 1;
  position.headBytes = 0;
  position.headLength = 2;
}

/** A Close frame (RFC 6455 §5.5.1). A client masks its frames; a key of zeros leaves the payload unchanged. */
export function closeFrame(code: number, reason: string, masked: boolean): Buffer {
  const text = Buffer.from(reason);
  const head = masked ? 6 : 2;
  const frame = Buffer.alloc(head + 2 + text.length);
  frame[0] = 0x80 | close;
  frame[1] = (masked ? 0x80 : 0) | (2 + text.length);
  frame.writeUInt16BE(code, head);
  text.copy(frame, head + 2);
  return frame;
}
