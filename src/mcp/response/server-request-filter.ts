// Filter for requests of the server to its client: those that a route does not let pass are withheld.
import { foldName } from '../../json/fold.ts';
import { type Span, spanOf, stringAt } from '../../json/members.ts';
import type { Element } from '../../json/scanner.ts';
import { compileShape } from '../../json/shape.ts';
import { filterMessages, nothing } from './messages.ts';

/** The requests of servers that a route may let pass. */
export const serverRequestMethods = ['elicitation/create', 'sampling/createMessage', 'roots/list'] as const;

/** Options of the filter. */
export interface ServerRequestOptions {
  readonly allowed: ReadonlySet<string>;
  /** Told the method of each withheld request. `id` is its JSON text; undefined for one that the server waits for in another way. */
  readonly withheld: (method: string, id: string | undefined) => void;
  /** The JSON-RPC error in place of an answer that asks for something withheld; `id` is the JSON text of the answer's. */
  readonly refusal: (id: string | undefined) => string;
}

const slots = { method: 0, id: 1, result: 2, error: 3, params: 4, ofResult: 5, ofParams: 6, code: 7 };
const slotCount = 8;
const asking = (slot: number) => compileShape(new Map([['inputRequests', { slot }]]), false);
const envelope = compileShape(
  new Map([
    ['method', { slot: slots.method }],
    ['id', { slot: slots.id }],
    ['result', { slot: slots.result, shape: asking(slots.ofResult) }],
    ['error', { slot: slots.error, shape: compileShape(new Map([['code', { slot: slots.code }]]), false) }],
    ['params', { slot: slots.params, shape: asking(slots.ofParams) }],
  ]),
  false,
);
/** URLElicitationRequiredError (MCP 2025-11-25): its data are elicitations. */
const elicitationRequired = -32042;

/** The text without what is withheld: undefined when nothing is, empty when nothing is left. Throws an Error for the log for what cannot be read. */
export function filterServerRequests(text: Buffer, options: ServerRequestOptions): Buffer | undefined {
  return filterMessages(text, envelope, slotCount, (message) => filterMessage(text, message, options));
}

function filterMessage(text: Buffer, message: Element, options: ServerRequestOptions): Buffer | undefined {
  const at = (slot: number) => spanOf(message, slot);
  const id = textAt(text, at(slots.id));
  const methodSpan = at(slots.method);
  const method = stringAt(text, methodSpan);
  if (methodSpan !== undefined && method === undefined) throw new Error('the method of a message is no string');
  if (method !== undefined && !method.startsWith('notifications/') && !passes(method, options)) {
    options.withheld(method, id);
    return nothing;
  }
  const asked = [slots.ofResult, slots.ofParams].flatMap((slot) => requestsIn(text, at(slot)));
  if (codeOf(text, at(slots.code)) === elicitationRequired) asked.push('elicitation/create');
  const refused = asked.filter((each) => !passes(each, options));
  for (const each of refused) options.withheld(each, undefined);
  if (refused.length === 0) return undefined;
  // A notification is answered by nobody.
  return method === undefined ? Buffer.from(options.refusal(id)) : nothing;
}

/** As the most lenient reader takes it: however it is written, also as a string or with a fraction. */
function codeOf(text: Buffer, span: Span | undefined): number {
  return Math.trunc(Number(JSON.parse(textAt(text, span) ?? 'null')));
}

/** Methods of the requests in an input-required result or a task (MCP 2026-07-28). */
function requestsIn(text: Buffer, span: Span | undefined): string[] {
  const requests: unknown = JSON.parse(textAt(text, span) ?? '{}');
  if (typeof requests !== 'object') throw new Error('`inputRequests` is no object');
  return Object.values(requests ?? {}).map((request: unknown) => {
    const { method } = Object(request) as { method?: unknown };
    const isMisspelt = Object.keys(Object(request)).some((name) => name !== 'method' && foldName(name) === 'method');
    if (isMisspelt || typeof method !== 'string')
      throw new Error('a request in `inputRequests` has no method, or another spelling of it');
    return method;
  });
}

/** A ping asks for nothing. Tasks of the client are those of its samplings and elicitations. */
function passes(method: string, { allowed }: ServerRequestOptions): boolean {
  if (method === 'ping' || allowed.has(method)) return true;
  return method.startsWith('tasks/') && (allowed.has('sampling/createMessage') || allowed.has('elicitation/create'));
}

function textAt(text: Buffer, span: Span | undefined): string | undefined {
  return span && text.subarray(span.start, span.end).toString();
}
