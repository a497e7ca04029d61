// Strict reader of JSON-RPC messages: whoever reads the same bytes behind the gateway cannot understand something else.
import { bytesOf, has, isGiven, isObject, type ScannedObject, stringOf } from '../json/members.ts';
import { invalidRpc, readEnvelope, slot } from './envelope.ts';
import type { McpMessage, McpTarget, StatedTraceContext } from './message.ts';
import { isNotificationName, type Method, methodOf } from './methods.ts';
import { knowsMembers, readNamed } from './params.ts';
import { isWholeNumber } from './request-id.ts';

/**
 * Reads one JSON-RPC 2.0 message. Batches, unknown members of the envelope, null ids of requests, ids that are no whole number, positional `params`,
 * requests without an id, and calls that do not name their target as MCP says are refused. Null `params` and `arguments` count as absent.
 * Throws GatewayError `invalid_json` or `invalid_jsonrpc`.
 */
export function readMessage(bytes: Buffer): McpMessage {
  const envelope = readEnvelope(bytes);
  if (stringOf(envelope, slot.jsonrpc) !== '2.0') throw invalidRpc('`jsonrpc` must be "2.0".', 'version');
  return has(envelope, slot.method) ? readCall(envelope) : readResponse(envelope);
}

function readCall(envelope: ScannedObject): McpMessage {
  const method = stringOf(envelope, slot.method);
  if (method === undefined) throw invalidRpc('`method` must be a string.', 'method');
  if (has(envelope, slot.result) || has(envelope, slot.error)) {
    throw invalidRpc('A message has either a method or a result.', 'members');
  }
  if (isGiven(envelope, slot.params) && !isObject(envelope, slot.params))
    throw invalidRpc('`params` must be an object.', 'params');
  const id = readId(envelope);
  const kind = isNotificationName(method) ? 'notification' : 'request';
  if (kind === 'notification' && id !== undefined) throw invalidRpc('A notification has no id.', 'id');
  if (kind === 'request' && (id === undefined || id === nullText)) throw invalidRpc('A request needs an id.', 'id');
  const known = methodOf(method);
  const target = known && readTarget(envelope, known);
  const named = readNamed(envelope, known);
  const membersKnown = known !== undefined && knowsMembers(envelope, known);
  const mirroredName = known && readMirroredName(envelope, known, target);
  const reference = known?.reference && bytesOf(envelope, slot[known.reference])?.toString();
  const argumentBytes = known?.arguments && readArguments(envelope);
  const protocolVersion = readProtocolVersion(envelope);
  const traceContext = readTraceContext(envelope);
  return {
    kind,
    id,
    method,
    protocolVersion,
    target,
    mirroredName,
    reference,
    named,
    membersKnown,
    traceContext,
    via: undefined,
    argumentBytes,
    bytes: envelope.bytes,
  };
}

function readResponse(envelope: ScannedObject): McpMessage {
  if (has(envelope, slot.params) || has(envelope, slot.result) === has(envelope, slot.error)) {
    throw invalidRpc('A message has a method, a result or an error.', 'members');
  }
  const id = readId(envelope);
  // JSON-RPC 2.0 §5: an error may answer a message whose id could not be read.
  if (id === undefined || (id === nullText && !has(envelope, slot.error)))
    throw invalidRpc('A response needs the id of its request.', 'id');
  return {
    kind: 'response',
    id,
    method: undefined,
    protocolVersion: readProtocolVersion(envelope),
    target: undefined,
    mirroredName: undefined,
    reference: undefined,
    named: undefined,
    membersKnown: false,
    traceContext: undefined,
    via: undefined,
    argumentBytes: undefined,
    bytes: envelope.bytes,
  };
}

function readArguments(envelope: ScannedObject): Buffer | undefined {
  if (!isGiven(envelope, slot.arguments)) return undefined;
  if (isObject(envelope, slot.arguments)) return bytesOf(envelope, slot.arguments);
  throw invalidRpc('`params.arguments` must be an object.', 'arguments');
}

/** MCP 2026-07-28, versioning: what tells the eras apart is in the body, not in a header. */
function readProtocolVersion(envelope: ScannedObject): string | undefined {
  if (!has(envelope, slot.protocolVersion)) return undefined;
  const version = stringOf(envelope, slot.protocolVersion);
  if (version === undefined) throw invalidRpc('The protocol version in `_meta` must be a string.', 'protocol_version');
  return version;
}

/** MCP 2026-07-28, OpenTelemetry trace context. Whatever is no context is as good as none. */
function readTraceContext(envelope: ScannedObject): StatedTraceContext | undefined {
  const traceparent = has(envelope, slot.traceparent) ? stringOf(envelope, slot.traceparent) : undefined;
  return traceparent === undefined ? undefined : { traceparent, tracestate: stringOf(envelope, slot.tracestate) };
}

/** JSON-RPC 2.0 §4: a string or a whole number, however it is written and however large. It is never calculated with. */
function readId(envelope: ScannedObject): string | undefined {
  const id = bytesOf(envelope, slot.id)?.toString();
  if (id === undefined || id === nullText || id.startsWith('"') || isWholeNumber(id)) return id;
  throw invalidRpc('`id` must be a string or a whole number.', 'id');
}

const nullText = 'null';

function readTarget(envelope: ScannedObject, { target: place, retired }: Method): McpTarget | undefined {
  if (place === undefined || place.kind === 'subscriptions') return undefined;
  if (place.kind === 'reference') return readReference(envelope);
  const name = stringOf(envelope, slot[place.member]);
  if (name !== undefined) return { kind: place.kind, name };
  // The upstream answers 404 for the method, from which clients learn of its era.
  if (retired && !has(envelope, slot[place.member]) && has(envelope, slot.protocolVersion)) return undefined;
  throw invalidRpc(`\`params.${place.member}\` must be a string.`, 'target');
}

function readMirroredName(
  envelope: ScannedObject,
  { mirrored, target: place }: Method,
  target: McpTarget | undefined,
): string | undefined {
  if (mirrored === undefined) return undefined;
  const isTarget = place !== undefined && 'member' in place && place.member === mirrored;
  return isTarget ? target?.name : stringOf(envelope, slot[mirrored]);
}

function readReference(envelope: ScannedObject): McpTarget {
  const type = stringOf(envelope, slot.refType);
  const [prompt, resource] = [stringOf(envelope, slot.refName), stringOf(envelope, slot.refUri)];
  // With both members two readers could refer to two things.
  const isSingle = !isGiven(envelope, slot.refName) || !isGiven(envelope, slot.refUri);
  if (type === 'ref/prompt' && prompt !== undefined && isSingle) return { kind: 'prompt', name: prompt };
  if (type === 'ref/resource' && resource !== undefined && isSingle) return { kind: 'resource', name: resource };
  throw invalidRpc('`params.ref` must be a reference to a prompt or a resource.', 'target');
}
