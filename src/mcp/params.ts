// Members of `params` that name something beside a call's target, and the members that MCP defines for methods without one.
import { bytesOf, has, isGiven, isObject, type ScannedObject } from '../json/members.ts';
import { invalidRpc, slot } from './envelope.ts';
import type { NamedThing } from './message.ts';
import type { MemberType, Method } from './methods.ts';

/** More are refused: each is judged by every rule. */
export const maxNamed = 1000;

/**
 * The resources and tasks that a `subscriptions/listen` subscribes to, and the task that `_meta` relates any message to. Throws `invalid_jsonrpc` where
 * such a member has another type.
 */
export function readNamed(envelope: ScannedObject, method: Method | undefined): readonly NamedThing[] | undefined {
  const isListen = method?.target?.kind === 'subscriptions';
  if (!isListen && !has(envelope, slot.relatedTask)) return undefined;
  const named = [...(isListen ? readSubscriptions(envelope) : []), ...readRelatedTask(envelope)];
  return named.length === 0 ? undefined : named;
}

function readSubscriptions(envelope: ScannedObject): NamedThing[] {
  if (isGiven(envelope, slot.notifications) && !isObject(envelope, slot.notifications)) {
    throw invalidRpc('`params.notifications` must be an object.', 'subscriptions');
  }
  const named = [
    ...readNames(envelope, 'resourceSubscriptions').map((name): NamedThing => ({ kind: 'resource', name })),
    ...readNames(envelope, 'taskIds').map((name): NamedThing => ({ kind: 'task', name })),
  ];
  if (named.length <= maxNamed) return named;
  throw invalidRpc(`\`params.notifications\` must name at most ${maxNamed} resources and tasks.`, 'subscriptions');
}

function readNames(envelope: ScannedObject, member: 'resourceSubscriptions' | 'taskIds'): string[] {
  if (!isGiven(envelope, slot[member])) return [];
  const names: unknown = JSON.parse(bytesOf(envelope, slot[member])!.toString('utf8'));
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw invalidRpc(`\`params.notifications.${member}\` must be a list of strings.`, 'subscriptions');
}

function readRelatedTask(envelope: ScannedObject): NamedThing[] {
  if (!isGiven(envelope, slot.relatedTask)) return [];
  const task: unknown = JSON.parse(bytesOf(envelope, slot.relatedTask)!.toString('utf8'));
  const { taskId } = Object(task) as { taskId?: unknown };
  if (typeof taskId === 'string') return [{ kind: 'task', name: taskId }];
  throw invalidRpc('The related task in `_meta` must have a `taskId`, a string.', 'related_task');
}

/** True when MCP defines each member of `params` and of what is closed within it; null counts as absent. Always false for a method with a target. */
export function knowsMembers(envelope: ScannedObject, { params: known }: Method): boolean {
  if (known === undefined) return false;
  if (!isGiven(envelope, slot.params)) return true;
  const params = JSON.parse(bytesOf(envelope, slot.params)!.toString('utf8')) as Members;
  const { _meta: meta, ...others } = params;
  return areKnown(others, known) && areKnown(params.notifications, notifications) && isKnownMeta(meta);
}

type Members = Readonly<Record<string, unknown>>;

/** MCP 2026-07-28, Subscriptions, and its extension for tasks. The two lists are read above. */
const notifications = {
  toolsListChanged: 'boolean',
  promptsListChanged: 'boolean',
  resourcesListChanged: 'boolean',
  resourceSubscriptions: 'object',
  taskIds: 'object',
} as const;

/** The members of `_meta` that MCP defines; their types are not looked at. */
const metaMembers: ReadonlySet<string> = new Set(
  ['protocolVersion', 'clientInfo', 'clientCapabilities', 'logLevel', 'related-task'].map(
    (name) => `io.modelcontextprotocol/${name}`,
  ),
);
/** MCP 2025-11-25, General fields: prefixes with such a label are reserved. Under all other names implementations keep what MCP does not know. */
const reservedLabel = /(?:^|\.)(?:modelcontextprotocol|mcp)(?:\.|$)/i;

function isKnownMeta(meta: unknown): boolean {
  if (meta === undefined || meta === null) return true;
  if (typeof meta !== 'object') return false;
  return Object.keys(meta).every((name) => metaMembers.has(name) || !isReserved(name));
}

function isReserved(name: string): boolean {
  const [prefix = '', rest] = name.split('/', 2);
  return rest !== undefined && reservedLabel.test(prefix);
}

function areKnown(members: unknown, known: Readonly<Record<string, MemberType>>): boolean {
  return Object.entries(members ?? {}).every(([name, value]) => {
    if (!Object.hasOwn(known, name)) return false;
    const type = known[name]!;
    return value === null || typeof value === type || (type === 'id' && /^(?:string|number)$/.test(typeof value));
  });
}
