// Replay: recorded requests under another policy, by the functions of the gateway, and nothing guessed where a record lacks a fact.
import { type AuditRecord, timeOf } from '../../audit/reading/record.ts';
import { createBoundedCache } from '../../bounded-cache.ts';
import { GatewayError } from '../../errors.ts';
import { checkKnownDefinitions } from '../../gateway/catalog/pinned-requests.ts';
import { checkIdentity } from '../../gateway/request/forward-request.ts';
import type { Route } from '../../gateway/route.ts';
import { requireRoute } from '../../http/route-matcher.ts';
import { createEvaluation, type EvaluationState } from '../../policy/condition/evaluation.ts';
import { decide } from '../../policy/decide.ts';
import { denial } from '../../policy/decision.ts';
import type { Policy } from '../../policy/rule.ts';
import type { PolicyFile } from '../policy-file.ts';
import { createDoubt, type Doubt, decisiveFacts, type Fact } from './doubt.ts';
import { openPolicy } from './open-policy.ts';
import { type RecordedRequest, recordedCaller } from './recorded-caller.ts';
import { isOfIdentity, mayBeRefusedStill, type ReadDecision, recordedDecision } from './recorded-decision.ts';
import { recordedMessage } from './recorded-message.ts';
import { verdictKeys } from './verdict-key.ts';

/** A decision of the new policy. Where a fact that is not known changes only its rule or reason, all are named. */
export interface Told {
  readonly kind: 'allow' | 'deny';
  readonly rule: string | undefined;
  readonly reason: string | undefined;
}

/** The answer of the new policy to a recorded request. */
export type Verdict =
  | Told
  /** `lacking`: the facts that it depends on, or the code of a refusal before the decision that may stand. */
  | { readonly kind: 'unknown'; readonly lacking: string };

/** One recorded request, then and now. */
export interface Replayed {
  readonly then: ReadDecision;
  /** Undefined where the record tells of no decision then. */
  readonly now: Verdict | undefined;
}

/** Replays requests, each with the line of its record. */
export type Replay = (record: AuditRecord, line: Buffer) => Replayed;

/** Requests that differ in nothing that the policy looks at are decided once. */
const maxVerdicts = 10_000;

/** Creates the replay of a policy file. */
export function createReplay(policyFile: PolicyFile): Replay {
  const judge = createJudge(policyFile);
  const keyOf = verdictKeys(policyFile);
  const known = createBoundedCache<Verdict>({ entries: maxVerdicts });
  return (record, line) => {
    const then = recordedDecision(record);
    if (then.kind === 'none') return { then, now: undefined };
    const key = keyOf(record, then);
    if (key === undefined) return { then, now: judge(record, line, then) };
    let now = known.get(key);
    if (now === undefined) {
      now = judge(record, line, then);
      known.set(key, now);
    }
    return { then, now };
  };
}

type Judge = (record: AuditRecord, line: Buffer, then: ReadDecision) => Verdict;

function createJudge(policyFile: PolicyFile): Judge {
  const { doubt, explore } = createDoubt();
  const policies = new Map<Policy, Policy>();
  const policyOf = ({ policy }: Route): Policy => {
    const open = policies.get(policy) ?? openPolicy(policy, doubt);
    policies.set(policy, open);
    return open;
  };
  return (record, line, then) => {
    const runs = explore((): Told => {
      try {
        const rule = judgeOnce(record, line, then, policyFile, policyOf, doubt);
        return { kind: 'allow', rule, reason: undefined };
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        return { kind: 'deny', rule: ruleOf.get(error), reason: reasonOf(error) };
      }
    });
    if ('lacking' in runs) {
      const isOfRefusal = runs.lacking === 'credentials' && then.kind === 'refused';
      return { kind: 'unknown', lacking: isOfRefusal ? refusedFor(then.reason) : words[runs.lacking] };
    }
    const outcomes = runs.map(({ outcome }) => outcome);
    const { kind, reason, rule } = outcomes[0]!;
    if (outcomes.some((each) => each.kind !== kind)) {
      const facts = decisiveFacts(runs, (outcome) => outcome.kind);
      return { kind: 'unknown', lacking: facts.map((fact) => words[fact]).join(', ') };
    }
    if (kind === 'allow' && then.kind === 'refused' && mayBeRefusedStill(then.reason)) {
      return { kind: 'unknown', lacking: refusedFor(then.reason) };
    }
    const oneOf = (member: 'reason' | 'rule') =>
      [...new Set(outcomes.map((each) => each[member] ?? 'none'))].join(' or ');
    return { kind, rule: rule && oneOf('rule'), reason: reason && oneOf('reason') };
  };
}

function refusedFor(reason: string): string {
  return `refused then: ${reason}`;
}

/** The code, and of a refused credential why. */
function reasonOf({ code, reason, status }: GatewayError): string {
  return status === 401 && reason !== undefined ? `${code}: ${reason}` : code;
}

/** The rule of a denial. */
const ruleOf = new WeakMap<GatewayError, string>();

/** Facts in words. */
export const words: Readonly<Record<Fact, string>> = {
  address: 'address',
  arguments: 'arguments',
  authenticator: 'authenticator',
  binding: 'binding of the token',
  certificate: 'names of the certificate',
  claims: 'claims of the token',
  credentials: 'credentials',
  cut: 'text that was cut',
  message: 'message',
  request: 'request',
  scopes: 'scopes',
  time: 'time',
  'time of issue': 'time of issue',
};

/** The rule that allows the request. Throws the GatewayError of its refusal. */
function judgeOnce(
  record: AuditRecord,
  line: Buffer,
  then: ReadDecision,
  policyFile: PolicyFile,
  policyOf: (route: Route) => Policy,
  doubt: Doubt,
): string {
  const { http, client } = record;
  if (http?.path === undefined) return doubt.lacks('request');
  if (Object.hasOwn(http, 'pathDigest') || Object.hasOwn(http, 'methodDigest')) return doubt.lacks('cut');
  const { method, path } = http;
  const route = requireRoute(policyFile.snapshot.match(method, path));
  const time = timeOf(record);
  const policy = policyOf(route);
  const needsBinding =
    route.requirements.senderConstrained || policy.rules.some(({ require }) => require.senderConstrained);
  const credentials = credentialsOf(record, then);
  const caller = recordedCaller({ record, time, credentials, needsBinding }, route, policyFile, doubt);
  const { message, hasArguments } = recordedMessage(record, line, route, doubt);
  const address = client?.address ?? doubt.lacks('address');
  const attributes = {
    route: route.name,
    http: { method, path },
    client: { address },
    caller,
    message,
    evaluation: hasArguments ? createEvaluation() : withoutArguments(doubt),
    now: time,
  };
  const decision = decide(attributes, policy);
  if (!decision.allow) {
    const error = denial(decision);
    if (decision.rule !== undefined) ruleOf.set(error, decision.rule);
    throw error;
  }
  if (route.pins !== undefined)
    checkKnownDefinitions({ decision, detail: undefined, message }, caller?.subjectKey ?? '', route.pins);
  if (isOfIdentity(record) && route.upstream !== undefined) {
    checkIdentity(caller, route.upstream);
    if (caller !== undefined) route.upstream.claimsOf?.(caller);
  }
  return decision.rule;
}

/** Without a decision only the lack of credentials is certain. A route that looks at none may have got some. */
export function credentialsOf({ credentials = [] }: AuditRecord, then: ReadDecision): RecordedRequest['credentials'] {
  if (then.kind === 'refused' && then.reason !== 'session_not_found')
    return then.reason === 'credentials_required' && credentials.length === 0 ? 'none' : 'unverified';
  return credentials.length === 0 ? 'unverified' : 'verified';
}

/** Reading `args` ends the test. */
export function withoutArguments(doubt: Doubt): EvaluationState {
  return Object.defineProperty(createEvaluation(), 'args', { get: () => doubt.lacks('arguments') });
}
