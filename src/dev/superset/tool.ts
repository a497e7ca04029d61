// Tool interface of the demo Superset, and the context of a call.
import * as z from 'zod';
import type { Catalog } from './catalog.ts';
import type { QueryEngine } from './query-engine.ts';

/** The caller named by the gateway's identity headers. All members are undefined without a gateway. */
export interface Caller {
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly scopes: string | undefined;
  readonly method: string | undefined;
  readonly issuer: string | undefined;
}

/** Facts and services of one call. */
export interface ToolContext {
  readonly catalog: Catalog;
  readonly engine: QueryEngine;
  readonly caller: Caller;
  readonly now: () => number;
  /** Base URL of the links in results. */
  readonly baseUrl: string;
  /** Sends `notifications/message` on the response stream of this call. */
  notify(level: 'debug' | 'info' | 'error', message: string): Promise<void>;
  /** Sends `notifications/progress` if the caller asked for it. */
  progress(done: number, total: number): Promise<void>;
}

/** A tool of the MCP server. */
export interface Tool {
  readonly name: string;
  readonly description: string;
  readonly readOnly: boolean;
  /** JSON Schema of the arguments. */
  readonly inputSchema: { readonly type: 'object'; readonly [key: string]: unknown };
  /** Validates the arguments and runs the tool. A `ToolFailure` becomes an error result, never a protocol error. */
  call(args: unknown, context: ToolContext): Promise<unknown>;
}

/** A failed call. The message is meant for the caller. */
export class ToolFailure extends Error {
  override readonly name = 'ToolFailure';
}

interface Definition<S extends z.ZodType> {
  readonly description: string;
  readonly readOnly: boolean;
  /** Schema of the one argument, `request`. */
  readonly request: S;
  run(request: z.output<S>, context: ToolContext): unknown;
}

/** Makes a tool in Superset's form: all arguments are inside one object `request`. */
export function defineTool<S extends z.ZodType>(name: string, definition: Definition<S>): Tool {
  const inputSchema = z.toJSONSchema(z.object({ request: definition.request }), { io: 'input' });
  return {
    name,
    description: definition.description,
    readOnly: definition.readOnly,
    inputSchema: { ...inputSchema, type: 'object' },
    call: async (given, context) => {
      const outer = argumentsOf.safeParse(given ?? {});
      if (!outer.success) throw new ToolFailure(`Invalid arguments: ${z.prettifyError(outer.error)}`);
      const request = definition.request.safeParse(outer.data.request);
      if (!request.success) throw new ToolFailure(`Invalid request: ${z.prettifyError(request.error)}`);
      return definition.run(request.data, context);
    },
  };
}

const argumentsOf = z.strictObject({ request: z.unknown().optional() });

export const identifier = z.union([z.int(), z.string().min(1)]).describe('numeric id, UUID or slug');

/** The item; throws a `ToolFailure` that names the missing one. */
export function found<T>(item: T | undefined, what: string, id: unknown): T {
  if (item === undefined) throw new ToolFailure(`${what} not found: ${String(id).slice(0, 100)}`);
  return item;
}
