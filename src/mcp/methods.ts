// The methods of MCP that are about a tool, a prompt or a resource, and where each revision's messages name it.

/** Where the target is named: a string member of `params`, or the reference of a completion. */
export type TargetPlace =
  | { readonly kind: 'tool'; readonly member: 'name' }
  | { readonly kind: 'prompt'; readonly member: 'name' }
  | { readonly kind: 'resource'; readonly member: 'uri' }
  | { readonly kind: 'reference' };

/** Revisions 2024-11-05 to 2026-07-28; a method that is not here has no target and is judged by its name alone. */
export const targetPlaces: ReadonlyMap<string, TargetPlace> = new Map<string, TargetPlace>([
  ['tools/call', { kind: 'tool', member: 'name' }],
  ['prompts/get', { kind: 'prompt', member: 'name' }],
  ['resources/read', { kind: 'resource', member: 'uri' }],
  ['resources/subscribe', { kind: 'resource', member: 'uri' }],
  ['resources/unsubscribe', { kind: 'resource', member: 'uri' }],
  ['completion/complete', { kind: 'reference' }],
]);

export interface Listing {
  readonly kind: 'tool' | 'resource' | 'prompt';
  /** The member of the result that is the list. */
  readonly member: string;
  /** The member of each item that is called, read or asked for. */
  readonly key: 'name' | 'uri' | 'uriTemplate';
}

/** The methods whose result lists what a caller may use, in every revision alike. */
export const listings: ReadonlyMap<string, Listing> = new Map<string, Listing>([
  ['tools/list', { kind: 'tool', member: 'tools', key: 'name' }],
  ['resources/list', { kind: 'resource', member: 'resources', key: 'uri' }],
  ['resources/templates/list', { kind: 'resource', member: 'resourceTemplates', key: 'uriTemplate' }],
  ['prompts/list', { kind: 'prompt', member: 'prompts', key: 'name' }],
]);

/** The methods whose `params.arguments` are what conditions and audit look at. */
export const methodsWithArguments: ReadonlySet<string> = new Set(['tools/call', 'prompts/get']);

/** All notifications of all revisions begin so, and no request does. */
export function isNotificationName(method: string): boolean {
  return method.startsWith('notifications/');
}
