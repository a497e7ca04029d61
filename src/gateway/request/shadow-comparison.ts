// Comparison of a decision with that of the shadow: told in the record, a metric and the log, and never enforced.
import type { OtherDecision } from '../../audit/event.ts';
import { buildCaller } from '../../authn/caller/caller.ts';
import { otherCaller, Untold } from '../../authn/caller/other-caller.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import { GatewayError } from '../../errors.ts';
import { requireRoute } from '../../http/route-matcher.ts';
import type { McpMessage } from '../../mcp/message.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { decide } from '../../policy/decide.ts';
import type { Route } from '../route.ts';
import { attributesOf, clientCertificateOf, type Runtime } from '../runtime.ts';
import type { Shadow, ShadowRoute } from '../shadow.ts';
import { notEnforced } from './audit-events.ts';
import type { RequestContext } from './context.ts';

/** Compares, where there is a shadow. `isAllowed` is the decision in force. Never throws. */
export function compareWithShadow(context: RequestContext, isAllowed: boolean, runtime: Runtime): void {
  const { id, route, snapshot } = context;
  const { shadow } = snapshot;
  // Documents of the gateway itself are no routes of either configuration.
  if (shadow === undefined || route === undefined || route.anyOrigin) return;
  const { log, metrics } = runtime;
  try {
    const decided = decisionOf(shadow, route, context, runtime);
    const live = isAllowed ? 'allow' : 'deny';
    if (decided.decision === live) return;
    context.shadow = { ...decided, policy: shadow.loaded.hash };
    metrics.shadowDiffered(route.name, live, decided.decision);
    log.debug({ id, route: route.name, live, shadow: decided }, 'the shadow decides otherwise');
  } catch (error) {
    const reason = error instanceof Untold ? error.reason : 'error';
    metrics.shadowUntold(route.name, reason);
    log.debug({ id, route: route.name, reason, err: error }, 'the decision of the shadow cannot be told');
  }
}

/** The same for a request that was refused before the decision, where its credentials were the cause. */
export function compareRefused(context: RequestContext, error: unknown, runtime: Runtime): void {
  const isRefusal = error instanceof GatewayError && (error.status === 401 || error.status === 403);
  if (isRefusal) compareWithShadow(context, false, runtime);
}

/** Throws Untold where the decision cannot be told. */
function decisionOf(shadow: Shadow, live: Route, context: RequestContext, runtime: Runtime): OtherDecision {
  try {
    const route = requireRoute(shadow.match(context.method, context.path));
    const { clientAddress, method, path } = context;
    const caller = callerOf(route, shadow, live, context, runtime);
    const message = messageOf(route, live, context);
    return notEnforced(
      decide(attributesOf({ caller, message, clientAddress, method, path }, route, runtime), route.policy),
    );
  } catch (error) {
    if (error instanceof GatewayError) return { decision: 'deny', reason: error.code };
    throw error;
  }
}

/** Throws the GatewayError of a refusal. */
function callerOf(
  route: ShadowRoute,
  shadow: Shadow,
  live: Route,
  context: RequestContext,
  runtime: Runtime,
): Caller | undefined {
  const { requirements } = route;
  if (requirements.kind === 'none') return undefined;
  if (!shadow.seesSameCertificates) throw new Untold('certificate');
  const { caller, clientAddress, credentials, snapshot } = context;
  if (caller === undefined) {
    // Credentials that were refused, or not looked at.
    if (live.requirements.kind === 'none' || credentials.length > 0) throw new Untold('credentials');
    return buildCaller(requirements, undefined, undefined);
  }
  const { authenticators, loaded } = shadow;
  const peer = context.certificate && clientCertificateOf(context, { authenticators, config: loaded.config }, runtime);
  const verifiedUnder = { authenticators: snapshot.authenticators, resource: live.resource };
  return otherCaller(caller, peer, verifiedUnder, route, {
    now: runtime.now(),
    clientAddress,
    resource: route.resource,
  });
}

/** The message as the shadow looks through its meta-tools. Throws the GatewayError of a message that they refuse. */
function messageOf({ isMcp, policy }: ShadowRoute, live: Route, context: RequestContext): McpMessage | undefined {
  if (!isMcp) return undefined;
  const { message, method } = context;
  if (message === undefined) {
    // The body of a path route is not read, nor that of a request that was refused before.
    if (method === 'POST') throw new Untold('message');
    return undefined;
  }
  const { via } = message;
  const own = policy.metaTools.calls;
  if (via === undefined) return lookThrough(message, policy.metaTools);
  if (areSame(own.get(via), live.policy.metaTools.calls.get(via))) return message;
  return lookThrough(readMessage(message.bytes), policy.metaTools);
}

function areSame(one: PlacesOfCall | undefined, other: PlacesOfCall | undefined): boolean {
  return one !== undefined && one.name === other?.name && one.arguments === other.arguments;
}

interface PlacesOfCall {
  readonly name: string;
  readonly arguments: string;
}
