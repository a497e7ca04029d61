// W3C Trace Context: the context that a caller states, and the headers that carry one. Pure.

/** A context that somebody else stated. */
export interface RemoteContext {
  readonly traceId: string;
  readonly spanId: string;
  /** The caller says that it keeps the trace. */
  readonly sampled: boolean;
  /** A valid `tracestate`; undefined without one. */
  readonly state: string | undefined;
}

/** Version, trace id, parent id, flags, and what a later version adds (§3.2.2). */
const traceparent = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const maxParentLength = 256;

/**
 * The context of `traceparent` and `tracestate`; undefined where the first is none by §3.2, so that a new trace begins. An invalid `tracestate` is
 * dropped alone (§3.3.1.5).
 */
export function parseTraceContext(parent: string | undefined, state: string | undefined): RemoteContext | undefined {
  if (parent === undefined || parent.length > maxParentLength) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = traceparent.exec(parent) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (isZero(traceId) || isZero(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, state: state && validState(state) };
}

function isZero(id: string): boolean {
  return /^0+$/.test(id);
}

/** §3.3.1: at most 32 members, each key once; vendors propagate at least 512 characters. */
const maxMembers = 32;
const maxStateLength = 512;
const member =
  /^(?:[a-z][\da-z_\-*/]{0,255}|[\da-z][\da-z_\-*/]{0,240}@[a-z][\da-z_\-*/]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;

function validState(state: string): string | undefined {
  if (state.length > maxStateLength) return undefined;
  const members = state.split(',').flatMap((each) => each.replace(/^[ \t]+|[ \t]+$/g, '') || []);
  const keys = new Set(members.map((each) => each.slice(0, each.indexOf('='))));
  const isValid =
    members.length <= maxMembers && keys.size === members.length && members.every((each) => member.test(each));
  return isValid && members.length > 0 ? members.join() : undefined;
}

/** The header `traceparent`. */
export function formatTraceparent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
