// The envelope of JSON-RPC 2.0 messages as MCP uses it: the members that are read, and their places.
import { GatewayError } from '../errors.ts';
import type { ScannedObject } from '../json/members.ts';
import { parsePointer } from '../json/pointer.ts';
import { scanJson } from '../json/scanner.ts';
import { compileShape, type Member, type Shape } from '../json/shape.ts';
import { skipSpace } from '../json/tokens.ts';

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
  requestId: '/params/requestId',
  progressToken: '/params/progressToken',
  arguments: '/params/arguments',
  ref: '/params/ref',
  refType: '/params/ref/type',
  refName: '/params/ref/name',
  refUri: '/params/ref/uri',
  notifications: '/params/notifications',
  resourceSubscriptions: '/params/notifications/resourceSubscriptions',
  taskIds: '/params/notifications/taskIds',
  meta: '/params/_meta',
  protocolVersion: '/params/_meta/io.modelcontextprotocol~1protocolVersion',
  relatedTask: '/params/_meta/io.modelcontextprotocol~1related-task',
  traceparent: '/params/_meta/traceparent',
  tracestate: '/params/_meta/tracestate',
} as const;

/** The slot of each. */
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

/** Scans the body. Throws GatewayError `invalid_json`, or `invalid_jsonrpc` when it is an array (a batch) or no object. */
export function readEnvelope(bytes: Buffer): ScannedObject {
  const spans = scanJson(bytes, envelope, slotCount);
  const first = bytes[skipSpace(bytes, 0)];
  if (first === 0x5b) throw invalidRpc('Batches are not accepted: send one message for each request.', 'batch');
  if (first !== 0x7b) throw invalidRpc('The body is not a JSON-RPC message.', 'not_an_object');
  return { bytes, spans };
}

/** The refusal of a message that is no valid JSON-RPC. */
export function invalidRpc(message: string, reason: string): GatewayError {
  return new GatewayError('invalid_jsonrpc', message, { reason });
}
