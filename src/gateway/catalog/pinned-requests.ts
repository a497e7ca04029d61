// Requests on pinned routes: items of lists that are not as they were recorded, and calls of them.
import { GatewayError } from '../../errors.ts';
import { readDefinition } from '../../mcp/catalog/pins.ts';
import type { ShowsItem } from '../../mcp/response/list-filter.ts';
import type { RequestContext } from '../request/context.ts';
import { partOfRecord } from './change-report.ts';
import type { RoutePins } from './route-pins.ts';

/** Hides changed items as well, or with `warn` only takes note of them. Every item is looked at, also one that this caller is not shown. */
export function showsPinned(pins: RoutePins, viewer: string, shows: (...item: NamedItem) => boolean): ShowsItem {
  const view = pins.view(viewer);
  return (listing, name, item, isFound) => {
    const read = item && (() => readDefinition(item));
    const change = view.changeOf(listing, name, read, isFound ? 'found' : 'listed');
    return (change === undefined || pins.onChange === 'warn') && shows(listing, name);
  };
}

type NamedItem = [listing: Parameters<ShowsItem>[0], name: string];

/** Throws GatewayError `definition_changed` for an allowed call of something that is not as it was recorded; with `warn` the record says so. */
export async function checkDefinitions(context: RequestContext, pins: RoutePins): Promise<void> {
  const { message, subject } = context;
  if (message === undefined || (message.target ?? message.named) === undefined) return;
  if (pins.onChange === 'deny') await pins.firstAsked.promise;
  checkKnownDefinitions(context, subject, pins);
}

/** The same by the answers so far, of which there may be none. */
export function checkKnownDefinitions(
  context: Pick<RequestContext, 'decision' | 'detail' | 'message'>,
  subject: string,
  pins: RoutePins,
): void {
  const { decision, message } = context;
  const change = message && pins.refusalOf(message, subject);
  if (change === undefined) return;
  if (pins.onChange === 'warn') {
    context.detail = { ...context.detail, definition: partOfRecord(change) };
    return;
  }
  const { reports, requiredScopes = [], rule } = decision ?? {};
  const denied = { allow: false, reason: 'definition_changed', rule, requiredScopes, missingScopes: [] } as const;
  context.decision = reports === undefined ? denied : { ...denied, reports };
  throw new GatewayError(
    'definition_changed',
    'The definition of what this call names is not the one that the operator of this gateway has recorded. Do not call it; ask the operator to look at the change.',
    { detail: { definition: partOfRecord(change) } },
  );
}
