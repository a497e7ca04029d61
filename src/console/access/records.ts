// Records of the console: refusals as on the public listener, views and log-ins of those who are authenticated.
import type { AuditEvent } from '../../audit/event.ts';
import type { Caller, Principal } from '../../authn/caller/principal.ts';
import type { CredentialRecord } from '../../authn/credential.ts';
import { createBoundedCache } from '../../bounded-cache.ts';
import type { GatewayError } from '../../errors.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { recordOf } from '../../gateway/request/audit-events.ts';
import { rateLimited, toGatewayError } from '../../gateway/request/error-response.ts';
import { challenge } from '../../http/challenge.ts';
import type { ConsoleAttempt, ConsoleRequest, Refusal } from './request.ts';

/** The views that are recorded, by person and page. */
export type Views = ReturnType<typeof createViews>;

const viewForMs = 60_000;
const maxViews = 1000;

/** Creates an empty memory of views. */
export function createViews() {
  return createBoundedCache<{ readonly until: number }>({ entries: maxViews });
}

/** One record for a person, a page and a minute. Without it the page is not shown. */
export async function recordView(
  attempt: ConsoleAttempt,
  { principal, subjectKey: key }: Caller,
  views: Views,
  parts: RunningParts,
): Promise<void> {
  if (attempt.page === undefined) return;
  const view = `${key}\n${attempt.page}`;
  const recorded = views.get(view);
  if (recorded !== undefined && parts.now() < recorded.until) return;
  await writeEvent('console viewed', attempt, principal, parts);
  views.set(view, { until: parts.now() + viewForMs });
}

/** Writes a `config` record of a person or program. */
export function writeEvent(
  event: string,
  request: ConsoleRequest,
  principal: Principal,
  parts: RunningParts,
): Promise<void> {
  return parts.audit.write({
    id: request.id,
    time: parts.now(),
    stage: 'config',
    ...factsOf(request),
    principal: recordOf(principal),
    detail: { event },
    policy: parts.runtime.snapshot.hash,
  });
}

function factsOf({ address, method, path, userAgent }: ConsoleRequest) {
  return { client: { address, userAgent }, http: { method, path } };
}

/** Records a refusal, or counts it in the sum of its address. The error to answer with: above the limit of the address another one. */
export async function recordRefusal(
  error: GatewayError,
  request: ConsoleRequest,
  seen: readonly CredentialRecord[],
  principal: Principal | undefined,
  parts: RunningParts,
): Promise<GatewayError> {
  const { reason, detail } = error;
  const named = principal ?? seen.find((each) => each.principal !== undefined)?.principal;
  const more = {
    principal: recordOf(named),
    credentials: seen.length === 0 ? undefined : seen.map(({ principal: _, ...credential }) => credential),
    detail: { listener: 'admin', ...(reason !== undefined && { problem: reason }), ...detail },
  };
  try {
    await recordRefused(error.code, error.status, request, parts, more);
    return error;
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}

/** Records a refusal by its code. Throws `rate_limited` above the limit of the address, and what the audit log throws. */
export async function recordRefused(
  code: string,
  status: number,
  request: ConsoleRequest,
  { metrics, now, runtime }: RunningParts,
  more: Partial<AuditEvent> = { detail: { listener: 'admin' } },
): Promise<void> {
  metrics.connectionRefused(String(status));
  const { address, id } = request;
  if (!runtime.strangers.allow({ key: address, outcome: 'refused', code, status })) {
    if (status < 500) throw rateLimited();
    return;
  }
  await runtime.strangers.record(address, {
    id,
    time: now(),
    stage: 'completed',
    ...factsOf(request),
    decision: 'deny',
    reason: code,
    status,
    outcome: 'refused',
    policy: runtime.snapshot.hash,
    ...more,
  });
}

/** The answer to an error. */
export function refusalOf(error: GatewayError, origin: string): Refusal {
  const { code, headers, message, status } = error;
  const source = {
    scope: [],
    requestedScopes: () => [],
    metadataUrl: undefined,
    resource: origin,
    dpopAlgorithms: undefined,
  };
  const asked = challenge(source, error);
  return { status, code, message, headers: { ...headers, ...(asked !== undefined && { 'www-authenticate': asked }) } };
}
