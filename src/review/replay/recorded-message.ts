// MCP messages of audit records, as far as a decision depends on them.
import { hash } from 'node:crypto';
import type { AuditRecord } from '../../audit/reading/record.ts';
import { GatewayError } from '../../errors.ts';
import type { Route } from '../../gateway/route.ts';
import { bytesOf } from '../../json/members.ts';
import { responseLimits, scanJson } from '../../json/scanner.ts';
import { compileShape } from '../../json/shape.ts';
import type { McpMessage, McpTarget, NamedThing } from '../../mcp/message.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { isNotificationName, type Method, methodOf } from '../../mcp/methods.ts';
import type { Doubt } from './doubt.ts';

/** A message, and whether its arguments are recorded whole. */
export interface RecordedMessage {
  /** Undefined for a request that carries none. */
  readonly message: McpMessage | undefined;
  readonly hasArguments: boolean;
}

/**
 * The message of a record on a route of the new policy. Arguments that are not known are absent in it. Throws the GatewayError of a message that the
 * route refuses.
 */
export function recordedMessage(
  record: AuditRecord,
  line: Buffer,
  { mcp: mcpRoute, policy }: Pick<Route, 'mcp' | 'policy'>,
  doubt: Doubt,
): RecordedMessage {
  if (mcpRoute === undefined || record.http?.method !== 'POST') return { message: undefined, hasArguments: true };
  const { mcp } = record;
  if (mcp === undefined) return doubt.lacks('message');
  for (const name of ['method', 'tool', 'via', 'target'])
    if (Object.hasOwn(mcp, `${name}Digest`)) return doubt.lacks('cut');
  const { method, tool, via } = mcp;
  const known = method === undefined ? undefined : methodOf(method);
  const argumentBytes = known?.arguments === true ? recordedArguments(mcp.arguments, line) : undefined;
  const hasArguments = known?.arguments !== true || argumentBytes !== undefined;
  const { target, named } = targetsOf(record, known, doubt);
  const message: McpMessage = {
    kind: method === undefined ? 'response' : isNotificationName(method) ? 'notification' : 'request',
    id: undefined,
    method,
    protocolVersion: undefined,
    target,
    mirroredName: undefined,
    reference: undefined,
    named,
    membersKnown: areMembersKnown(record, known, policy, doubt),
    traceContext: undefined,
    via: undefined,
    argumentBytes,
    bytes: Buffer.alloc(0),
  };
  const { calls, searches } = policy.metaTools;
  if (via === undefined) {
    const isMetaTool = tool !== undefined && calls.has(tool);
    if (!isMetaTool) return { message, hasArguments };
    return hasArguments ? { message: lookThrough(message, policy.metaTools), hasArguments } : doubt.lacks('arguments');
  }
  if (tool === undefined) return doubt.lacks('message');
  // To the new policy it is a tool like any other, whose arguments name another tool.
  if (!calls.has(via))
    return {
      message: { ...message, target: { kind: 'tool', name: via }, argumentBytes: undefined },
      hasArguments: false,
    };
  if (calls.has(tool) || searches.has(tool))
    throw new GatewayError('invalid_jsonrpc', 'A meta-tool cannot call another one.', { reason: 'nested_meta_tool' });
  return { message: { ...message, via }, hasArguments };
}

/** Of `mcp.arguments` in a line. */
const argumentsSlot = 0;
const argumentsShape = compileShape(
  new Map([['mcp', { slot: 1, shape: compileShape(new Map([['arguments', { slot: argumentsSlot }]]), false) }]]),
  false,
);
/** In place of arguments that are an empty object. */
export const digestOfNone = `sha256:${hash('sha256', '{}', 'hex')}`;

/**
 * The bytes of arguments that are recorded whole, with numbers in the digits in which they were sent. Undefined for a digest, selected values, a
 * summary, and for what might be one of these.
 */
function recordedArguments(value: unknown, line: Buffer): Buffer | undefined {
  if (value === digestOfNone) return Buffer.from('{}');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const names = Object.keys(value);
  const mayBeSelected = names.every((name) => name.startsWith('/'));
  const isSummary = names.length === 3 && ['digest', 'bytes', 'text'].every((name) => Object.hasOwn(value, name));
  if (mayBeSelected || isSummary) return undefined;
  try {
    return bytesOf({ bytes: line, spans: scanJson(line, argumentsShape, 2, responseLimits) }, argumentsSlot);
  } catch {
    return undefined;
  }
}

interface Targets {
  readonly target: McpTarget | undefined;
  readonly named: readonly NamedThing[] | undefined;
}

/** More names than this have too many ways to be resources or tasks. */
const maxNamed = 8;

/** The target, and what is named beside it. A list stands for a message that names something beside its target; the last may be a task. */
function targetsOf({ mcp }: AuditRecord, known: Method | undefined, doubt: Doubt): Targets {
  const { target, tool } = mcp!;
  const names = typeof target === 'string' ? [target] : (target ?? []);
  const task: NamedThing = { kind: 'task', name: names.at(-1) ?? '' };
  const named = Array.isArray(target) ? [task] : undefined;
  const place = known?.target;
  if (place === undefined) return { target: undefined, named };
  const [own] = names;
  switch (place.kind) {
    case 'tool':
      return tool === undefined ? doubt.lacks('message') : { target: { kind: 'tool', name: tool }, named };
    case 'subscriptions': {
      if (names.length > maxNamed) return doubt.lacks('message');
      const kinds = ['resource', 'task'] as const;
      const things = names.map((name): NamedThing => ({ kind: kinds[doubt.choose(2, 'message')]!, name }));
      return { target: undefined, named: things.length === 0 ? undefined : things };
    }
    default: {
      if (own === undefined && known?.retired) return { target: undefined, named: undefined };
      // A message that lacks its target names a task alone.
      if (own === undefined || (known?.retired && names.length === 1 && named !== undefined))
        return doubt.lacks('message');
      const kind =
        place.kind === 'reference' ? (['prompt', 'resource'] as const)[doubt.choose(2, 'message')]! : place.kind;
      return { target: { kind, name: own }, named };
    }
  }
}

/** The rule of what needs none; where a rule of the file has this name, it says nothing. */
const openRule = 'open';

function areMembersKnown(
  { decision, detail, mcp, rule }: AuditRecord,
  known: Method | undefined,
  policy: Route['policy'],
  doubt: Doubt,
): boolean {
  if (known?.params === undefined) return false;
  const { problem } = Object(Object(detail).message) as { problem?: unknown };
  if (problem === 'unknown_member') return false;
  const isAllowed = decision === 'allow' && rule !== undefined;
  if (isAllowed && mcp?.method === 'subscriptions/listen') return true;
  if (isAllowed && rule === openRule && !policy.rules.some(({ name }) => name === openRule)) return true;
  return doubt.choose(2, 'message') === 0;
}
