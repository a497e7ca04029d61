// Completion of a request: its refusal, its completion record and its metrics, each exactly once.
import type { Urgency } from '../../audit/event.ts';
import type { GatewayError } from '../../errors.ts';
import { boundUnreadBody, clientGone } from '../../http/body.ts';
import { releaseSlot } from '../../upstream/concurrency.ts';
import type { Runtime } from '../runtime.ts';
import { completedEvent } from './audit-events.ts';
import type { RequestContext } from './context.ts';
import { statusOfError, toGatewayError, writeError } from './error-response.ts';
import { bodyLimitsOf, responseHeaders } from './local-responses.ts';

/**
 * Answers every refusal and failure. A request without a decision has one record, written before the answer; without it the answer is
 * `audit_unavailable`. Only the first error of a request counts. Never rejects.
 */
export async function refuse(error: GatewayError, context: RequestContext, runtime: Runtime): Promise<void> {
  if (context.error !== undefined) return;
  context.error = error;
  context.answered = true;
  if (error.code === 'overloaded') runtime.metrics.overloaded(error.reason);
  if (error.status >= 500) {
    context.log.warn({ code: error.code, reason: error.reason, err: error.cause }, error.message);
  }
  if (context.decided !== undefined) context.outcome = error.reason === clientGone ? 'aborted' : 'failed';
  else {
    const gone = context.response.destroyed;
    context.outcome = gone ? 'aborted' : 'refused';
    await record(context, runtime, gone ? undefined : statusOfError(context, error)).catch((unwritten: unknown) => {
      context.error = toGatewayError(unwritten);
    });
    count(context, runtime, gone ? undefined : statusOfError(context, context.error));
  }
  writeError(context, context.error, responseHeaders(context, runtime));
}

/** Called at the end of the pipeline and at the close of the response; the second call completes the request. */
export function completePart(context: RequestContext, runtime: Runtime): void {
  context.pendingCompletions -= 1;
  if (context.pendingCompletions > 0) return;
  runtime.open.delete(context);
  if (context.slot !== undefined) releaseSlot(context.slot);
  boundUnreadBody(context.request, bodyLimitsOf(context));
  if (context.recorded) return;
  context.outcome ??= context.response.writableFinished ? 'completed' : 'aborted';
  const status = context.response.headersSent ? context.response.statusCode : undefined;
  count(context, runtime, status);
  record(context, runtime, status, 'later').catch((cause: unknown) => {
    context.log.error({ err: cause }, 'the completion record of a request could not be written');
  });
}

function record(
  context: RequestContext,
  runtime: Runtime,
  status: number | undefined,
  urgency: Urgency = 'now',
): Promise<void> {
  context.recorded = true;
  return runtime.audit.write(completedEvent(context, runtime.now(), status), urgency);
}

function count(context: RequestContext, runtime: Runtime, status: number | undefined): void {
  const { caller, decision, message, outcome, route, startedMs } = context;
  const tool = message?.target?.kind === 'tool' ? message.target.name : undefined;
  runtime.metrics.requestFinished({
    route: route?.name,
    outcome: outcome ?? 'failed',
    status,
    seconds: (performance.now() - startedMs) / 1000,
    tool: tool === undefined || route?.policy.toolNames.has(tool) ? tool : 'other',
    decision,
    apiKey: caller?.principal.kind === 'api-key' ? (caller.principal.credentialId ?? 'none') : undefined,
  });
}
