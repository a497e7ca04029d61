// The MCP messages that every authenticated caller may send where no rule says otherwise.
import type { Facts } from './attributes.ts';

/** By exact name. Lists are filtered on their way back; what a `subscriptions/listen` subscribes to needs a rule. */
const openMethods: ReadonlySet<string> = new Set([
  'initialize',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed',
  'ping',
  'server/discover',
  'subscriptions/listen',
  'logging/setLevel',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
]);

/** The verbs of the transport that carry no message: opening a stream and ending a session. */
const openVerbs: ReadonlySet<string> = new Set(['GET', 'DELETE']);

/** Reports whether a request on an MCP route needs no rule. Client responses belong to a stream that is already theirs. */
export function isOpen({ message, http }: Facts): boolean {
  if (message === undefined) return openVerbs.has(http.method);
  if (message.method === undefined) return message.kind === 'response';
  return message.target === undefined && openMethods.has(message.method);
}
