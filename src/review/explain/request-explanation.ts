// Explanation of a judged request: the caller, the route, each rule, the request that the upstream would get, and the answer.
import type { Caller } from '../../authn/caller/principal.ts';
import { limitsOf } from '../../gateway/request/call-limits.ts';
import type { Answer, Route } from '../../gateway/route.ts';
import { compilePathPattern } from '../../http/path-pattern.ts';
import { acceptsMethod } from '../../http/route-matcher.ts';
import { bucketOf } from '../../limits/bucket-key.ts';
import { type Explanation, explain } from '../../policy/explain.ts';
import type { Call } from '../call-form.ts';
import type { Judgement } from '../judge.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { CredentialReading } from './credential-reading.ts';
import { readUpstream, type UpstreamReading } from './upstream-reading.ts';

/** The whole reading of a request. */
export interface RequestExplanation {
  readonly allowed: boolean;
  /** The stable code of a refusal. */
  readonly code: string | undefined;
  readonly reason: string | undefined;
  /** Hash of the configuration. */
  readonly policy: string;
  /** RFC 3339. */
  readonly at: string;
  readonly from: string;
  /** The query, which may hold a secret, is left out. */
  readonly request: { readonly method: string; readonly path: string };
  readonly credentials: readonly CredentialReading[];
  readonly caller: CallerReading | undefined;
  /** In their order, up to the one that matched. */
  readonly routes: readonly RouteReading[];
  /** Undefined where the request was refused before the decision. */
  readonly decision: Explanation | undefined;
  /** Of an allowed request. */
  readonly limits: readonly LimitReading[];
  /** Undefined where nothing is forwarded. */
  readonly upstream: UpstreamReading | undefined;
  /** Of the gateway itself; undefined where the upstream gives it. */
  readonly answer: Answer | undefined;
  readonly notes: readonly string[];
}

/** The caller that the credentials make. */
export interface CallerReading extends Pick<Caller, 'scopes' | 'authenticatedBy' | 'senderConstrained' | 'method'> {
  readonly issuer: string;
  readonly subject: string;
  readonly clientId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A limit that a request is under. */
export interface LimitReading {
  readonly name: string;
  /** Such as `30 in a minute, 10 at once`. */
  readonly size: string;
  /** The values of the request that have a bucket together. */
  readonly bucket: Readonly<Record<string, string | undefined>>;
}

/** A route that was looked at. */
export interface RouteReading {
  readonly name: string;
  readonly path: string;
  readonly outcome: 'matched' | 'other_path' | 'other_method';
  /** Of `other_method`: those that it takes. */
  readonly methods?: readonly string[] | undefined;
}

/** The part of an explanation that follows from a judgement. */
export function explainJudgement(
  policyFile: PolicyFile,
  judgement: Judgement,
  statedScopes: readonly string[],
): Omit<RequestExplanation, 'credentials' | 'notes'> {
  const { answer, at, attributes, call, caller, clientAddress, error, route } = judgement;
  const { hash } = policyFile.snapshot;
  return {
    allowed: error === undefined,
    code: error?.code,
    reason: error?.reason,
    policy: hash,
    at: new Date(at).toISOString(),
    from: clientAddress,
    request: { method: call.method, path: call.target.split('?')[0]! },
    caller: caller && readCaller(caller),
    routes: readRoutes(call, route, policyFile),
    decision: attributes && route && explain(attributes, route.policy, statedScopes),
    limits: readLimits(judgement, policyFile),
    upstream: error === undefined ? readUpstream(judgement, policyFile) : undefined,
    answer,
  };
}

function readLimits(judgement: Judgement, { snapshot }: PolicyFile): LimitReading[] {
  const { caller, clientAddress, decision, error, message, route } = judgement;
  if (error !== undefined || route === undefined) return [];
  const call = { caller, clientAddress, message, route: route.name };
  return [...limitsOf(route, decision, snapshot.limits)].map(({ name, per, words }) => ({
    name,
    size: words,
    bucket: bucketOf(per, call),
  }));
}

/** The caller of a request. */
export function readCaller({ principal, scopes, authenticatedBy, senderConstrained, method }: Caller): CallerReading {
  const { issuer, subject, clientId, claims } = principal;
  return { issuer, subject, clientId, claims, scopes, authenticatedBy, senderConstrained, method };
}

/** The routes of the configuration before the matched one, and that one. */
export function readRoutes(
  { method, target }: Pick<Call, 'method' | 'target'>,
  matched: Route | undefined,
  { snapshot }: PolicyFile,
): RouteReading[] {
  const path = target.split('?')[0]!;
  const end = snapshot.routes.findIndex(({ name }) => name === matched?.name);
  // A document of the gateway's own stands before all routes.
  if (matched !== undefined && end === -1) return [{ name: matched.name, path: matched.path, outcome: 'matched' }];
  return snapshot.routes.slice(0, end === -1 ? undefined : end + 1).map((route, index) => {
    const { name, methods } = route;
    if (index === end) return { name, path: route.path, outcome: 'matched' };
    const hasPath = compilePathPattern(route.path).matches(path) && !acceptsMethod(methods, method);
    return hasPath
      ? { name, path: route.path, outcome: 'other_method', methods: [...methods] }
      : { name, path: route.path, outcome: 'other_path' };
  });
}
