// Completion of a request: its refusal, its completion record and its metrics, each exactly once.
import type { Priority } from '../../audit/event.ts';
import type { GatewayError } from '../../errors.ts';
import { boundUnreadBody, clientGone } from '../../http/body/body.ts';
import { releaseBody } from '../../http/body/budget.ts';
import { freeBuffer } from '../../http/body/free.ts';
import { giveBack } from '../../limits/take.ts';
import { releaseSlot } from '../../upstream/concurrency.ts';
import type { Runtime } from '../runtime.ts';
import { completedEvent, durationOf, recordOf } from './audit-events.ts';
import type { RequestContext } from './context.ts';
import { rateLimited, statusOfError, toGatewayError, writeError } from './error-response.ts';
import { findRequestId } from './find-request-id.ts';
import { bodyLimitsOf, responseHeaders } from './local-responses.ts';
import { endTrace, exemplarOf, traceRefusalRecord } from './request-spans.ts';

/**
 * Answers every refusal and failure. A request without a decision has one record, written before the answer; without it the answer is
 * `audit_unavailable`. A stranger above the limit of its address has none, and is told so where the refusal is no failure of ours. Only the first
 * error of a request counts. Never rejects.
 */
export async function refuse(error: GatewayError, context: RequestContext, runtime: Runtime): Promise<void> {
  if (context.error !== undefined) return;
  context.error = error;
  context.answered = true;
  if (error.code === 'overloaded') runtime.metrics.overloaded(error.reason);
  if (error.code === 'rate_limited' && error.reason !== undefined) runtime.metrics.limitRefused(error.reason);
  if (context.decided !== undefined) {
    context.outcome = error.reason === clientGone ? 'aborted' : 'failed';
    if (isFailureWithinLimit(context, runtime)) logFailure(error, context);
  } else {
    await giveBackLimits(context, runtime);
    const gone = context.response.destroyed;
    context.outcome = gone ? 'aborted' : 'refused';
    context.recorded = true;
    if (isWithinLimit(context, runtime)) {
      logFailure(error, context);
      const status = gone ? undefined : statusOfError(context, error);
      await traceRefusalRecord(context, () => record(context, runtime, status)).catch((unwritten: unknown) => {
        context.error = toGatewayError(unwritten);
      });
    } else if (error.status < 500 && context.caller === undefined) context.error = rateLimited(error);
    count(context, runtime, gone ? undefined : statusOfError(context, context.error));
  }
  writeError(context, context.error, await findRequestId(context), responseHeaders(context, runtime));
}

/** A request that is not carried out counts for none of its limits. The one that refused it stays, for the answer. */
async function giveBackLimits(context: RequestContext, { now, state }: Runtime): Promise<void> {
  const { taken } = context;
  if (taken === undefined) return;
  await giveBack(taken, state, now);
  const refused = taken.filter(({ consumption }) => !consumption.allowed);
  context.taken = refused.length > 0 ? refused : undefined;
}

/** Of these a limit or an outage tells, by records, metrics and once in the log: each request has a line at `debug` only. */
const toldElsewhere: ReadonlySet<string> = new Set(['overloaded', 'state_unavailable']);

/** The stack of a failed connection names no line of ours. */
function logFailure({ cause, code, message, reason, status }: GatewayError, { log }: RequestContext): void {
  if (status < 500) return;
  const isPlain = code !== 'internal_error' && isSystemError(cause);
  log[toldElsewhere.has(code) ? 'debug' : 'warn'](
    { code, reason, ...(isPlain ? { cause: { code: cause.code, message: cause.message } } : { err: cause }) },
    message,
  );
}

function isSystemError(cause: unknown): cause is Error & { code: string } {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
}

/** Counts the failure of a forwarded request against the limit of a stranger. False above it. */
export function isFailureWithinLimit(
  { caller, clientAddress, decided }: RequestContext,
  { strangers }: Pick<Runtime, 'strangers'>,
): boolean {
  return caller !== undefined || decided === undefined || strangers.countFailure(clientAddress, decided.event);
}

/** Called at the end of the pipeline and at the close of the response; the second call completes the request. */
export function completePart(context: RequestContext, runtime: Runtime): void {
  context.pendingCompletions -= 1;
  if (context.pendingCompletions > 0) return;
  runtime.open.delete(context);
  if (context.slot !== undefined) releaseSlot(context.slot);
  releaseBody(runtime.bodies, context);
  boundUnreadBody(context.request, bodyLimitsOf(context));
  const status = context.response.headersSent ? context.response.statusCode : undefined;
  if (!context.recorded) recordCompletion(context, runtime, status);
  if (context.trace !== undefined) endTrace(context, context.trace, status);
  if (runtime.log.isLevelEnabled('debug')) logRequest(context, status);
  if (context.body !== undefined && !context.bodyInUse) freeBuffer(context.body);
}

function recordCompletion(context: RequestContext, runtime: Runtime, status: number | undefined): void {
  context.recorded = true;
  context.outcome ??= context.response.writableFinished ? 'completed' : 'aborted';
  count(context, runtime, status);
  if (!isWithinLimit(context, runtime)) return;
  record(context, runtime, status, 'completion').catch((cause: unknown) => {
    context.log.error({ err: cause }, 'the completion record of a request could not be written');
  });
}

/** One line for each request. */
function logRequest(context: RequestContext, status: number | undefined): void {
  const { caller, decided, error, log, message, method, outcome, route } = context;
  const fields = {
    route: route?.name,
    client: caller?.principal.clientId,
    method,
    mcpMethod: message?.method,
    tool: message?.target?.kind === 'tool' ? message.target.name : undefined,
    decision: decided === undefined ? 'deny' : 'allow',
    code: error?.code,
    status,
    outcome,
    durationMs: durationOf(context),
  };
  log.debug(fields, 'request');
}

/** False for a stranger above the limit of its address, and for a caller with too many refusals by its limits; the request is then part of a sum. */
function isWithinLimit(context: RequestContext, { overLimits, strangers }: Runtime): boolean {
  const { caller, clientAddress, decided, error, outcome } = context;
  if (context.summed) return false;
  if (decided !== undefined) return true;
  const request = { outcome: outcome!, code: error?.code ?? outcome!, limit: error?.detail?.limit };
  if (caller === undefined) return strangers.allow({ ...request, key: clientAddress, status: error?.status });
  if (error?.code !== 'rate_limited') return true;
  const principal = recordOf(caller.principal);
  return overLimits.allow({ ...request, key: caller.subjectKey, principal, status: statusOfError(context, error) });
}

function record(
  context: RequestContext,
  runtime: Runtime,
  status: number | undefined,
  priority: Priority = 'decision',
): Promise<void> {
  const event = completedEvent(context, runtime.now(), status);
  const { caller, clientAddress, decided, route } = context;
  const isForwarded = decided !== undefined && route?.upstream !== undefined;
  if (caller !== undefined && context.error?.code === 'rate_limited') {
    return runtime.overLimits.record(caller.subjectKey, event, priority);
  }
  if (caller !== undefined || isForwarded) return runtime.audit.write(event, priority);
  return runtime.strangers.record(clientAddress, event, decided === undefined ? 'stranger' : priority);
}

function count(context: RequestContext, runtime: Runtime, status: number | undefined): void {
  const { caller, decision, message, outcome, route, startedMs } = context;
  const tool = message?.target?.kind === 'tool' ? message.target.name : undefined;
  runtime.metrics.requestFinished({
    route: route?.name,
    outcome: outcome ?? 'failed',
    status,
    seconds: (performance.now() - startedMs) / 1000,
    exemplar: exemplarOf(context),
    tool: tool === undefined || route?.policy.toolNames.has(tool) ? tool : 'other',
    decision,
    apiKey: caller?.principal.kind === 'api-key' ? (caller.principal.credentialId ?? 'none') : undefined,
  });
}
