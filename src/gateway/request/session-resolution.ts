// Session of a request, or outside of sessions the pending request that its message names.
import { checkSessionless, identifySession } from '../../mcp/session.ts';
import { isPending, type Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

/**
 * Identifies the session; a promise only where a sibling may have the request that the message names. Throws the GatewayErrors of `identifySession` and
 * `checkSessionless`.
 */
export function resolveSession(context: RequestContext, runtime: Runtime): Promise<void> | undefined {
  const { caller, message, request, route, subject } = context;
  if (route?.sessions === undefined) return undefined;
  const presented = { headers: request.headers, message, principal: caller?.principal };
  context.session = identifySession(route.sessions, presented);
  if (context.session !== undefined || message === undefined || message.kind === 'request') return undefined;
  if (route.mcp?.replies !== 'session') return undefined;
  const { siblings } = runtime;
  const isHere = (id: string) => isPending({ id, route: route.name, subject }, runtime);
  const { reference } = message;
  if (siblings === undefined || reference === undefined || isHere(reference)) {
    checkSessionless(message, isHere);
    return undefined;
  }
  return siblings
    .isPending({ id: reference, route: route.name, subject })
    .then((isElsewhere) => checkSessionless(message, () => isElsewhere));
}
