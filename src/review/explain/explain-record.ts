// Explanation of a recorded request under a configuration: as far as its record tells, and nothing guessed.
import { type AuditRecord, timeOf } from '../../audit/reading/record.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import { GatewayError } from '../../errors.ts';
import type { Route } from '../../gateway/route.ts';
import type { Attributes } from '../../policy/attributes.ts';
import { createEvaluation } from '../../policy/condition/evaluation.ts';
import { type Explanation, explain } from '../../policy/explain.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { Doubt, Fact } from '../replay/doubt.ts';
import { recordedCaller } from '../replay/recorded-caller.ts';
import { recordedMessage } from '../replay/recorded-message.ts';
import { createReplay, credentialsOf, type Replayed, withoutArguments, words } from '../replay/replay.ts';
import { type CallerReading, type RouteReading, readCaller, readRoutes } from './request-explanation.ts';

/** The reading of a recorded request. */
export interface RecordExplanation {
  /** The record. */
  readonly record: AuditRecord;
  /** The decision that the record tells of. */
  readonly then: Replayed['then'];
  /** That of this configuration; `unknown` where the record lacks what it depends on. */
  readonly now: Replayed['now'];
  /** Hash of this configuration. */
  readonly policy: string;
  /** It is the configuration of the record; undefined where files of it are not at hand. */
  readonly isSamePolicy: boolean | undefined;
  /** Facts that the record lacks and the reading needed. A test that reads one is shown as an error. */
  readonly unknown: readonly string[];
  /** A refusal before the rules. */
  readonly refused: string | undefined;
  readonly routes: readonly RouteReading[];
  readonly caller: CallerReading | undefined;
  /** Undefined where the rules were not reached. */
  readonly decision: Explanation | undefined;
}

/** Explains a request by its record, given with its line. `isWhole`: no stand-in takes the place of a file, which changes the hash. */
export function explainRecord(
  policyFile: PolicyFile,
  record: AuditRecord,
  line: Buffer,
  isWhole: boolean,
): RecordExplanation {
  const { hash, match } = policyFile.snapshot;
  const { then, now } = createReplay(policyFile)(record, line);
  const facts = new Set<Fact>();
  const { method = '', path = '' } = record.http ?? {};
  const found = path === '' ? undefined : match(method, path);
  const route = found !== undefined && 'route' in found ? found.route : undefined;
  return {
    record,
    then,
    now,
    policy: hash,
    isSamePolicy: isWhole ? record.policy === hash : undefined,
    routes: readRoutes({ method, target: path }, route, policyFile),
    ...(route === undefined ? nothing : readRules(route, { record, line, then }, policyFile, doubtOf(facts))),
    unknown: [...facts].map((fact) => words[fact]),
  };
}

const nothing = { refused: undefined, caller: undefined, decision: undefined };

type Reading = Pick<RecordExplanation, 'refused' | 'caller' | 'decision'>;

interface Recorded extends Pick<Replayed, 'then'> {
  readonly record: AuditRecord;
  readonly line: Buffer;
}

function readRules(route: Route, { record, line, then }: Recorded, policyFile: PolicyFile, doubt: Doubt): Reading {
  let caller: Caller | undefined;
  try {
    const { policy, requirements } = route;
    const needsBinding =
      requirements.senderConstrained || policy.rules.some(({ require }) => require.senderConstrained);
    const request = { record, time: timeOf(record), credentials: credentialsOf(record, then), needsBinding };
    caller = recordedCaller(request, route, policyFile, doubt);
    const { hasArguments, message } = recordedMessage(record, line, route, doubt);
    const open = hasArguments ? createEvaluation : () => withoutArguments(doubt);
    const state = Object.assign(open(), { reports: open() });
    const attributes: Attributes = {
      route: route.name,
      http: { method: record.http?.method ?? '', path: record.http?.path ?? '' },
      client: { address: record.client?.address ?? doubt.lacks('address') },
      caller,
      message,
      evaluation: state,
      now: timeOf(record),
    };
    return { refused: undefined, caller: callerOf(caller), decision: explain(attributes, policy, [], state) };
  } catch (error) {
    if (error instanceof GatewayError) return { ...nothing, refused: error.code, caller: callerOf(caller) };
    if (error instanceof NotRecorded) return { ...nothing, caller: callerOf(caller) };
    throw error;
  }
}

/** The record holds no claim but the tenant, which stands in it. */
function callerOf(caller: Caller | undefined): CallerReading | undefined {
  return caller && { ...readCaller(caller), claims: {} };
}

/** Thrown where a fact is read that the record lacks. */
class NotRecorded extends Error {}

/** Takes the first way where a fact may turn out in several, and names it. */
function doubtOf(facts: Set<Fact>): Doubt {
  return {
    choose(_ways, fact) {
      facts.add(fact);
      return 0;
    },
    lacks(fact) {
      facts.add(fact);
      throw new NotRecorded(`not recorded: ${words[fact]}`);
    },
    test: (evaluate) => evaluate(),
    isTouched: () => false,
  };
}
