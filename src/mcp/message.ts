// A JSON-RPC message of MCP, and the bytes it was read from.

export type McpTargetKind = 'tool' | 'resource' | 'prompt';
/** The tool, resource or prompt that a message names. */
export interface McpTarget {
  readonly kind: McpTargetKind;
  /** Tool or prompt name, or resource URI, exactly as in the message. */
  readonly name: string;
}

/** A message as decisions and records see it. */
export interface McpMessage {
  readonly kind: 'request' | 'notification' | 'response';
  /** Absent in notifications. */
  readonly id: string | number | null | undefined;
  /** Absent in responses. */
  readonly method: string | undefined;
  /** The revision that the message states itself, as all do from 2026-07-28 on; undefined in a message of an older revision. */
  readonly protocolVersion: string | undefined;
  readonly target: McpTarget | undefined;
  /** The value that the header Mcp-Name has to repeat; undefined if the body has no such member. */
  readonly mirroredName: string | undefined;
  /** The resources a `subscriptions/listen` names, each a target of its own; undefined when the message names none. */
  readonly subscribed: readonly McpTarget[] | undefined;
  /** The meta-tool the target was reached through. */
  readonly via: string | undefined;
  /** The arguments of a tool or prompt call, parsed on first use; undefined when the call has none. */
  args(): unknown;
  /** The bytes of those arguments within the message; undefined when the call has none. */
  readonly argumentBytes: Buffer | undefined;
  /** The bytes that were read, which are also forwarded. */
  readonly bytes: Buffer;
}

/** Yields the parsed value, the same at every call; undefined when there are no bytes. The bytes have been scanned before. */
export function lazyArguments(bytes: Buffer | undefined): () => unknown {
  let parsed: unknown;
  return () => {
    if (bytes !== undefined) parsed ??= JSON.parse(bytes.toString('utf8'));
    return parsed;
  };
}
