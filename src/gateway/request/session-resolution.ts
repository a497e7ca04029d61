// Session of a request, or outside of sessions the pending request that its message names.
import { checkSessionless, identifySession } from '../../mcp/session.ts';
import { isPending, type Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

/**
 * Identifies the session, or asks siblings for the request that the message names. Throws the GatewayErrors of `identifySession` and `checkSessionless`.
 */
export async function resolveSession(context: RequestContext, runtime: Runtime): Promise<void> {
  const { caller, message, request, route, subject } = context;
  if (route?.sessions === undefined) return;
  const presented = { headers: request.headers, message, principal: caller?.principal };
  context.session = identifySession(route.sessions, presented);
  if (context.session !== undefined || message === undefined || message.kind === 'request') return;
  if (route.mcp?.replies !== 'session') return;
  const { siblings } = runtime;
  const isHere = (id: string) => isPending({ id, route: route.name, subject }, runtime);
  const { reference } = message;
  if (siblings === undefined || reference === undefined || isHere(reference)) {
    checkSessionless(message, isHere);
    return;
  }
  const isElsewhere = await siblings.isPending({ id: reference, route: route.name, subject });
  checkSessionless(message, () => isElsewhere);
}
