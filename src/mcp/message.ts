// A JSON-RPC message of MCP, and the bytes it was read from.

export type McpTargetKind = 'tool' | 'resource' | 'prompt';
/** The tool, resource or prompt that a message names. */
export interface McpTarget {
  readonly kind: McpTargetKind;
  /** Tool or prompt name, or resource URI, exactly as in the message. */
  readonly name: string;
}

/** A resource or task that a message names beside its target. Whoever names one needs the right to read it. */
export interface NamedThing {
  readonly kind: 'resource' | 'task';
  /** Resource URI or task id. */
  readonly name: string;
}

/** A trace context that nobody has checked. */
export interface StatedTraceContext {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
}

/** A message as decisions and records see it. */
export interface McpMessage {
  readonly kind: 'request' | 'notification' | 'response';
  /** The JSON text of the id, as it was sent; absent in notifications. */
  readonly id: string | undefined;
  /** Absent in responses. */
  readonly method: string | undefined;
  /** The revision that the message states itself, as all do from 2026-07-28 on; undefined in a message of an older revision. */
  readonly protocolVersion: string | undefined;
  readonly target: McpTarget | undefined;
  /** The value that the header Mcp-Name has to repeat; undefined if the body has no such member. */
  readonly mirroredName: string | undefined;
  /** The JSON text of the id of the request that it cancels or reports the progress of. */
  readonly reference: string | undefined;
  /** The resources and tasks that it names beside its target, each judged by itself; undefined when it names none. */
  readonly named: readonly NamedThing[] | undefined;
  /** MCP defines all members of `params` for this method: nothing is named that the other members here do not have. */
  readonly membersKnown: boolean;
  /** The trace context in `_meta` (SEP-414), as it was sent; undefined without a `traceparent`. */
  readonly traceContext: StatedTraceContext | undefined;
  /** The meta-tool the target was reached through. */
  readonly via: string | undefined;
  /** The arguments of a tool or prompt call, as they stand in the message; undefined when the call has none. */
  readonly argumentBytes: Buffer | undefined;
  /** The bytes that were read, which are also forwarded. */
  readonly bytes: Buffer;
}
