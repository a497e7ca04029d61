// Trace of one request: its span, and the steps from before the span began.
import type { RequestSpan, RequestStart, Tracing } from './tracing.ts';

/** Attributes of a span; those of undefined are left out. */
export type SpanAttributes = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** A step that has ended; times in monotonic milliseconds. */
export interface TracedStep {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** The stable code of the error that ended it. */
  readonly error: string | undefined;
}

/** The trace of a request. */
export interface RequestTrace {
  readonly tracing: Tracing;
  /** Begins with the first record, log line or upstream header that names it: the caller's context may stand in the body. */
  span: RequestSpan | undefined;
  readonly early: TracedStep[];
  /** Monotonic milliseconds at which the current step began. */
  stepMs: number;
}

/** The trace of a request that has begun now. */
export function createRequestTrace(tracing: Tracing): RequestTrace {
  return { tracing, span: undefined, early: [], stepMs: performance.now() };
}

/** Begins the span, with the steps from before it. */
export function beginSpan(trace: RequestTrace, start: RequestStart): RequestSpan {
  trace.span = trace.tracing.startRequest(start);
  for (const step of trace.early.splice(0)) addStep(trace, step);
  return trace.span;
}

/** Adds a step as a child of the span. */
export function addStep(trace: RequestTrace, step: TracedStep): void {
  const { name, startMs, endMs, attributes, error } = step;
  if (trace.span === undefined) trace.early.push(step);
  else trace.span.child(name, 'internal', startMs)?.end({ attributes: given(attributes), error, endMs });
}

/** The attributes that there are. */
export function given(attributes: SpanAttributes): Record<string, string | number | string[]> {
  const entries = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Record<string, string | number | string[]>;
}
