// Whether an answer that goes on may still go on after a reload: everything that was judged when it began is judged again.

import type { Caller } from '../authn/principal.ts';
import { authenticateAgain } from '../authn/reauthenticate.ts';
import { lookThrough } from '../mcp/meta-tools.ts';
import { readMessage } from '../mcp/read-message.ts';
import { identifySession } from '../mcp/session.ts';
import { decide } from '../policy/decide.ts';
import { clientCertificateOf, type Exchange, factsOf, type Runtime } from './runtime.ts';
import type { Route, Snapshot } from './snapshot.ts';

/** Under which configuration an exchange was last found allowed, and as whose. */
export interface Footing {
  readonly snapshot: Snapshot;
  readonly route: Route;
  readonly caller: Caller | undefined;
}

/** `revoked`: the credential would be refused now. `policy`: the caller may not do this any more, or not here. */
export type Loss = 'revoked' | 'policy';

/** Judges the exchange under the live snapshot. Never throws: what cannot be judged is lost. */
export function judgeAgain(exchange: Exchange, footing: Footing, runtime: Runtime): Footing | Loss {
  const { snapshot } = runtime;
  const found = snapshot.match(exchange.method, exchange.path);
  if (found === undefined || !('route' in found)) return 'policy';
  const { route } = found;
  if (route.upstream === undefined || (route.mcp === undefined) !== (footing.route.mcp === undefined)) return 'policy';
  let caller: Caller | undefined;
  if (route.plan.kind !== 'none') {
    caller = callerAgain(exchange, footing, route, runtime);
    if (caller === undefined) return footing.caller === undefined ? 'policy' : 'revoked';
  }
  try {
    return isAllowed(exchange, route, caller, runtime) ? { snapshot, route, caller } : 'policy';
  } catch {
    return 'policy';
  }
}

function callerAgain(exchange: Exchange, footing: Footing, route: Route, runtime: Runtime): Caller | undefined {
  const { snapshot } = runtime;
  if (footing.caller === undefined) return undefined;
  try {
    return authenticateAgain(
      footing.caller,
      { authenticators: footing.snapshot.authenticators, resource: footing.route.resource },
      {
        authenticators: snapshot.authenticators,
        resource: route.resource,
        plan: route.plan,
        peer: clientCertificateOf(exchange, snapshot, runtime),
      },
      { now: runtime.now(), clientAddress: exchange.clientAddress, resource: route.resource },
    );
  } catch {
    return undefined;
  }
}

/** Throws what the checks before the decision throw. */
function isAllowed(exchange: Exchange, route: Route, caller: Caller | undefined, runtime: Runtime): boolean {
  const { request, origin } = exchange;
  const { hosts } = runtime.snapshot;
  hosts.checkHost(request.headers.host!);
  hosts.checkOrigin(origin);
  const message = exchange.message && lookThrough(readMessage(exchange.message.bytes), route.metaTools);
  if (exchange.session !== undefined && route.sessions !== undefined) {
    identifySession(route.sessions, { headers: request.headers, message, principal: caller?.principal });
  }
  return decide(factsOf(exchange, route, runtime, caller, message), route.policy).allow;
}
