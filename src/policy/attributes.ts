// Attributes of a request: everything that a decision may look at. Built once per request; `decide` reads nothing else.
import type { Caller } from '../authn/caller/principal.ts';
import type { McpMessage } from '../mcp/message.ts';
import type { EvaluationState } from './condition/evaluation.ts';

/** The facts that a decision uses. */
export interface Attributes {
  /** The route's name. */
  readonly route: string;
  readonly http: { readonly method: string; readonly path: string };
  readonly client: { readonly address: string };
  /** Undefined on routes with `authenticate: none`. */
  readonly caller: Caller | undefined;
  /** Undefined on path routes, and for GET and DELETE on an MCP route. */
  readonly message: McpMessage | undefined;
  /** Shared by the conditions of this request. */
  readonly evaluation: EvaluationState;
  /** Milliseconds since 1970. */
  readonly now: number;
}
