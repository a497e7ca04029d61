// The shape of a JSON-RPC 2.0 message as MCP uses it: which members are read, and typed access to the bytes of each.
import { GatewayError } from '../errors.ts';
import { parsePointer } from '../json/pointer.ts';
import { scanJson } from '../json/scanner.ts';
import { compileShape, type Member, type Shape } from '../json/shape.ts';
import { isDigit, minus, skipSpace, textOf } from '../json/tokens.ts';

/** The members that are read, with their JSON pointers (RFC 6901). */
const pointers = {
  jsonrpc: '/jsonrpc',
  id: '/id',
  method: '/method',
  params: '/params',
  result: '/result',
  error: '/error',
  name: '/params/name',
  uri: '/params/uri',
  taskId: '/params/taskId',
  arguments: '/params/arguments',
  ref: '/params/ref',
  refType: '/params/ref/type',
  refName: '/params/ref/name',
  refUri: '/params/ref/uri',
  notifications: '/params/notifications',
  resourceSubscriptions: '/params/notifications/resourceSubscriptions',
  meta: '/params/_meta',
  protocolVersion: '/params/_meta/io.modelcontextprotocol~1protocolVersion',
} as const;

/** Where the spans of each stand. */
export const slot = Object.fromEntries(Object.keys(pointers).map((name, index) => [name, index])) as Record<
  keyof typeof pointers,
  number
>;

const slotCount = Object.keys(pointers).length;

/** The envelope is closed; `params` belong to the method and may hold what the gateway does not know. */
const envelope = shapeOf('/', true);

function shapeOf(prefix: string, closed: boolean): Shape {
  const members = new Map<string, Member>();
  for (const [index, pointer] of Object.values(pointers).entries()) {
    const token = pointer.slice(prefix.length);
    if (!pointer.startsWith(prefix) || token.includes('/')) continue;
    const inner = Object.values(pointers).some((other) => other.startsWith(`${pointer}/`));
    members.set(
      parsePointer(`/${token}`)[0]!,
      inner ? { slot: index, shape: shapeOf(`${pointer}/`, false) } : { slot: index },
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
  const spans = scanJson(bytes, envelope, slotCount);
  const first = bytes[skipSpace(bytes, 0)];
  if (first === 0x5b) throw invalidRpc('Batches are not accepted: send one message for each request.', 'batch');
  if (first !== 0x7b) throw invalidRpc('The body is not a JSON-RPC message.', 'not_an_object');
  return { bytes, spans };
}

export function has({ spans }: Envelope, at: number): boolean {
  return spans[2 * at] !== -1;
}

/** The value as it was sent; undefined when it is absent. */
export function bytesOf({ bytes, spans }: Envelope, at: number): Buffer | undefined {
  return spans[2 * at] === -1 ? undefined : bytes.subarray(spans[2 * at], spans[2 * at + 1]);
}

/** A string's text; undefined when the member is absent or no string. */
export function stringOf({ bytes, spans }: Envelope, at: number): string | undefined {
  const start = spans[2 * at]!;
  return start !== -1 && bytes[start] === 0x22 ? textOf(bytes, start + 1, spans[2 * at + 1]! - 1) : undefined;
}

export function isObject({ bytes, spans }: Envelope, at: number): boolean {
  const start = spans[2 * at]!;
  return start !== -1 && bytes[start] === 0x7b;
}

/** A number; undefined when the member is absent or of another kind. */
export function numberOf({ bytes, spans }: Envelope, at: number): number | undefined {
  const start = spans[2 * at]!;
  if (start === -1 || (bytes[start] !== minus && !isDigit(bytes[start]!))) return undefined;
  return Number(bytes.toString('latin1', start, spans[2 * at + 1]));
}

export function isNull({ bytes, spans }: Envelope, at: number): boolean {
  const start = spans[2 * at]!;
  return start !== -1 && bytes[start] === 0x6e;
}

export function invalidRpc(message: string, reason: string): GatewayError {
  return new GatewayError('invalid_jsonrpc', message, { reason });
}
