// Limits of a call: those of its route and of the rules that allow it.
import type { Limit } from '../../limits/limit.ts';
import { overLimit, takeFrom } from '../../limits/take.ts';
import type { Decision } from '../../policy/decision.ts';
import type { Route } from '../route.ts';
import type { Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

type Decided = Decision | RequestContext['decision'];

/** The limits of an allowed call, each once: those of its route, then those of its rules. */
export function limitsOf(
  route: Pick<Route, 'limits'>,
  decision: Decided,
  limits: ReadonlyMap<string, Limit>,
): Iterable<Limit> {
  const names = namesOf(decision);
  return names === undefined ? route.limits : new Set([...route.limits, ...names.map((name) => limits.get(name)!)]);
}

function namesOf(decision: Decided): readonly string[] | undefined {
  return decision?.allow === true ? decision.limits : undefined;
}

/** Takes a call that is under limits from them. Throws GatewayError `rate_limited`; `refuse` gives back what a request took that is not carried out. */
export async function checkLimits(context: RequestContext, runtime: Runtime): Promise<void> {
  const { caller, clientAddress, decision, message, snapshot } = context;
  const route = context.route!;
  if (route.limits.length === 0 && namesOf(decision) === undefined) return;
  const call = { caller, clientAddress, message, route: route.name };
  context.taken = await takeFrom(limitsOf(route, decision, snapshot.limits), call, runtime.state, runtime.now);
  const last = context.taken.at(-1);
  if (last?.consumption.allowed === false) throw overLimit(last);
}
