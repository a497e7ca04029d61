// The shape of a JSON-RPC 2.0 message as MCP uses it: which members are read, and typed access to the bytes of each.
import { GatewayError } from '../errors.ts';
import { parsePointer } from './json-pointer.ts';
import { isDigit, minus, skipSpace, textOf } from './json-token.ts';
import { compileShape, type Member, type Shape, scanJson } from './scanner.ts';

/** The members that are read, by their JSON pointers (RFC 6901). */
const slotNames = [
  '/jsonrpc',
  '/id',
  '/method',
  '/params',
  '/result',
  '/error',
  '/params/name',
  '/params/uri',
  '/params/taskId',
  '/params/arguments',
  '/params/ref',
  '/params/notifications',
  '/params/_meta',
  '/params/ref/type',
  '/params/ref/name',
  '/params/ref/uri',
  '/params/notifications/resourceSubscriptions',
  '/params/_meta/io.modelcontextprotocol~1protocolVersion',
] as const;
export type Slot = (typeof slotNames)[number];

const slotNumbers = Object.fromEntries(slotNames.map((name, index) => [name, index])) as Record<Slot, number>;

/** The envelope is closed; `params` belong to the method and may hold what the gateway does not know. */
const envelope = shapeOf('/', true);

function shapeOf(prefix: string, closed: boolean): Shape {
  const members = new Map<string, Member>();
  for (const slot of slotNames) {
    const token = slot.slice(prefix.length);
    if (!slot.startsWith(prefix) || token.includes('/')) continue;
    const inner = slotNames.some((other) => other.startsWith(`${slot}/`));
    const number = slotNumbers[slot];
    members.set(
      parsePointer(`/${token}`)[0]!,
      inner ? { slot: number, shape: shapeOf(`${slot}/`, false) } : { slot: number },
    );
  }
  return compileShape(members, closed);
}

/** A scanned message: spans into its bytes, nothing built. */
export interface Envelope {
  readonly bytes: Buffer;
  readonly spans: readonly number[];
}

/** Scans the body. Throws GatewayError `invalid_json`, or `invalid_jsonrpc` when it is an array (a batch) or no object. */
export function readEnvelope(bytes: Buffer): Envelope {
  const spans = scanJson(bytes, envelope, slotNames.length);
  const first = bytes[skipSpace(bytes, 0)];
  if (first === 0x5b) throw invalidRpc('Batches are not accepted: send one message for each request.', 'batch');
  if (first !== 0x7b) throw invalidRpc('The body is not a JSON-RPC message.', 'not_an_object');
  return { bytes, spans };
}

export function has({ spans }: Envelope, slot: Slot): boolean {
  return spans[2 * slotNumbers[slot]] !== -1;
}

/** The value as it was sent; undefined when it is absent. */
export function bytesOf({ bytes, spans }: Envelope, slot: Slot): Buffer | undefined {
  const at = 2 * slotNumbers[slot];
  return spans[at] === -1 ? undefined : bytes.subarray(spans[at], spans[at + 1]);
}

/** A string's text; undefined when the member is absent or no string. */
export function stringOf({ bytes, spans }: Envelope, slot: Slot): string | undefined {
  const start = spans[2 * slotNumbers[slot]]!;
  return start !== -1 && bytes[start] === 0x22
    ? textOf(bytes, start + 1, spans[2 * slotNumbers[slot] + 1]! - 1)
    : undefined;
}

export function isObject({ bytes, spans }: Envelope, slot: Slot): boolean {
  const start = spans[2 * slotNumbers[slot]]!;
  return start !== -1 && bytes[start] === 0x7b;
}

/** A number; undefined when the member is absent or of another kind. */
export function numberOf({ bytes, spans }: Envelope, slot: Slot): number | undefined {
  const start = spans[2 * slotNumbers[slot]]!;
  if (start === -1 || (bytes[start] !== minus && !isDigit(bytes[start]!))) return undefined;
  return Number(bytes.toString('latin1', start, spans[2 * slotNumbers[slot] + 1]));
}

export function isNull({ bytes, spans }: Envelope, slot: Slot): boolean {
  const start = spans[2 * slotNumbers[slot]]!;
  return start !== -1 && bytes[start] === 0x6e;
}

export function invalidRpc(message: string, reason: string): GatewayError {
  return new GatewayError('invalid_jsonrpc', message, { reason });
}
