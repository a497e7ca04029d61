// Methods of MCP, revisions 2024-11-05 to 2026-07-28: the place of each method's target, and the list in its result.

/** Where the targets are named: a string member of `params`, the reference of a completion, or the URIs of a subscription. */
export type TargetPlace =
  | { readonly kind: 'tool'; readonly member: 'name' }
  | { readonly kind: 'prompt'; readonly member: 'name' }
  | { readonly kind: 'resource'; readonly member: 'uri' }
  | { readonly kind: 'reference' }
  | { readonly kind: 'subscriptions' };

/** The member of a result that is a list. */
export type ListMember = 'tools' | 'resources' | 'resourceTemplates' | 'prompts';

/** A list in a result. */
export interface Listing {
  readonly kind: 'tool' | 'resource' | 'prompt';
  readonly member: ListMember;
  /** The member of each item that is called, read or asked for. */
  readonly key: 'name' | 'uri' | 'uriTemplate';
}

/** The JSON type of a member; an `id` is a string or a number. */
export type MemberType = 'string' | 'number' | 'id' | 'boolean' | 'object';

/** An MCP method that clients send. */
export interface Method {
  /** Absent: the method is judged by its name alone. */
  readonly target?: TargetPlace;
  /** `params.arguments` are what conditions and audit look at. */
  readonly arguments?: true;
  /** The member of `params` that the header Mcp-Name repeats from 2026-07-28 on. */
  readonly mirrored?: 'name' | 'uri' | 'taskId';
  readonly listing?: Listing;
  /** The member of `params` that names the request that the notification is about. */
  readonly reference?: 'requestId' | 'progressToken';
  /** All members that `params` has beside `_meta`; absent: whatever there is belongs to the target. */
  readonly params?: Readonly<Record<string, MemberType>>;
  /** 2026-07-28 has it no more: a message of that revision may lack its target, and then goes by its name alone. */
  readonly retired?: true;
}

const byName: Method = {};
const bare: Method = { params: {} };
const page = { cursor: 'string' } as const;
const task: Method = { mirrored: 'taskId' };
const resource: TargetPlace = { kind: 'resource', member: 'uri' };

/**
 * Methods that a client may send, by the revision that introduced them. No later revision changed a target or a list of theirs. Requests of
 * servers (`sampling/createMessage`, `elicitation/create`, `roots/list`) are not in it.
 */
const methods: ReadonlyMap<string, Method> = new Map<string, Method>([
  // 2024-11-05
  ['initialize', { params: { protocolVersion: 'string', capabilities: 'object', clientInfo: 'object' } }],
  ['notifications/initialized', bare],
  ['notifications/cancelled', { reference: 'requestId', params: { requestId: 'id', reason: 'string' } }],
  [
    'notifications/progress',
    {
      reference: 'progressToken',
      params: { progressToken: 'id', progress: 'number', total: 'number', message: 'string' },
    },
  ],
  ['notifications/roots/list_changed', bare],
  ['ping', bare],
  ['logging/setLevel', { params: { level: 'string' } }],
  ['tools/list', { params: page, listing: { kind: 'tool', member: 'tools', key: 'name' } }],
  ['tools/call', { target: { kind: 'tool', member: 'name' }, arguments: true, mirrored: 'name' }],
  ['resources/list', { params: page, listing: { kind: 'resource', member: 'resources', key: 'uri' } }],
  [
    'resources/templates/list',
    { params: page, listing: { kind: 'resource', member: 'resourceTemplates', key: 'uriTemplate' } },
  ],
  ['resources/read', { target: resource, mirrored: 'uri' }],
  ['resources/subscribe', { target: resource, retired: true }],
  ['resources/unsubscribe', { target: resource, retired: true }],
  ['prompts/list', { params: page, listing: { kind: 'prompt', member: 'prompts', key: 'name' } }],
  ['prompts/get', { target: { kind: 'prompt', member: 'name' }, arguments: true, mirrored: 'name' }],
  ['completion/complete', { target: { kind: 'reference' } }],
  // 2025-11-25
  ['tasks/get', task],
  ['tasks/result', task],
  ['tasks/list', byName],
  ['tasks/cancel', task],
  // 2026-07-28, in which tasks are an extension
  ['tasks/update', task],
  ['server/discover', bare],
  ['subscriptions/listen', { target: { kind: 'subscriptions' }, params: { notifications: 'object' } }],
]);

/** All methods that a client may send. */
export const methodNames: readonly string[] = [...methods.keys()];

/** Undefined for a method that no revision defines for clients. */
export function methodOf(name: string): Method | undefined {
  return methods.get(name);
}

/** The methods whose result lists what a caller may use. */
export const listings: ReadonlyMap<string, Listing> = new Map(
  [...methods].flatMap(([name, { listing }]) => (listing === undefined ? [] : [[name, listing] as const])),
);

/** All notifications of all revisions begin so, and no request does. */
export function isNotificationName(method: string): boolean {
  return method.startsWith('notifications/');
}
