// Scenario of one client, a program of its own: log-in from the URL, list, call, step-up, stream, and each kind of refusal with a call after it.
// The program announces each step at the control server and prints a line for it; each is held against the audit and what reached the servers.
import { strict as assert } from 'node:assert';
import type { AuditRecord } from '../../support/gateway.ts';
import { runChild } from './child.ts';
import { type Step, startControl } from './control.ts';
import { type Endpoint, type Refusal, refusals, type Stage } from './stage.ts';

/** Runs with the further arguments URL, CA-FILE, CONTROL-URL and REFUSALS. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** What the client did with each step, in the words of the table. */
export type Outcomes = Record<StepName, string>;

export const successes = ['log-in', 'list', 'call', 'step-up', 'stream'] as const;
type Success = (typeof successes)[number];
export type StepName = Success | Refusal;

/** Status and reason in the record of a refusal. A denied call is answered by a JSON-RPC error of status 200. */
const refusedWith: Readonly<Record<Refusal, readonly [number, string]>> = {
  denied: [200, 'denied'],
  403: [403, 'denied'],
  401: [401, 'invalid_token'],
  404: [404, 'session_not_found'],
  413: [413, 'body_too_large'],
  415: [415, 'unsupported_media_type'],
  503: [503, 'overloaded'],
  outage: [503, 'idp_unavailable'],
};

type Matches = (record: AuditRecord) => boolean;
const refused = (status: number, reason: string): Matches => {
  return (record) => record.status === status && record.reason === reason && record.upstream === undefined;
};
const allowed = (matches: Matches): Matches => {
  return (record) => record.upstream?.status === 200 && record.principal?.subject === 'analyst' && matches(record);
};
const ofMethod = (...methods: string[]) => allowed(({ mcp }) => methods.includes(mcp?.method ?? ''));
const ofTool = (tool: string) => allowed(({ mcp }) => mcp?.tool === tool);

/** The completed requests that each step has to have led to. */
const expected: Readonly<Record<Exclude<StepName, Refusal> | 'after', readonly Matches[]>> = {
  'log-in': [refused(401, 'credentials_required'), ofMethod('initialize', 'server/discover')],
  list: [ofMethod('tools/list')],
  call: [ofTool('test_simple_text')],
  'step-up': [refused(403, 'insufficient_scope'), ofTool('test_tool_with_progress')],
  stream: [ofTool('test_tool_with_progress')],
  after: [ofTool('test_simple_text')],
};

/** Throws an Error with what was not as it should be. */
export async function runScenario(
  stage: Stage,
  program: Program,
  endpoint: Endpoint,
  caFile: string,
  ownLogIn = false,
): Promise<Outcomes> {
  const asked = refusals.filter((refusal) => endpoint === '/v1' || refusal !== '404');
  const control = await startControl(stage, endpoint, (step) => holdAgainstAudit(stage, step));
  try {
    const url = stage.scene.origin + endpoint;
    const args = [...program.args, url, caFile, control.origin, asked.join(',')];
    const result = await runChild(program.command, args, { env: { NODE_EXTRA_CA_CERTS: caFile, ...program.env } });
    const failure = control.failure();
    if (failure !== undefined) throw new Error(`${failure.message}\n${result.output}`);
    assert.equal(result.code, 0, result.output);
    await control.begin('end');
    for (const approval of stage.approvals) assert.equal(approval.get('resource'), url, 'resource (RFC 8707)');
    const outcomes = outcomesOf(stage, control.steps, linesOf(result.output), asked);
    const records = await stage.scene.gateway.records();
    if (records.some(({ http, upstream }) => http?.method === 'GET' && http.path === endpoint && upstream)) {
      outcomes.stream += ', GET';
    }
    return ownLogIn ? { ...outcomes, 'log-in': 'by its user', 'step-up': 'by its user' } : outcomes;
  } finally {
    await control.close();
  }
}

/** Waits for the records that a step has to have led to, and compares what was forwarded with what reached the servers. */
async function holdAgainstAudit({ scene, reached }: Stage, step: Step): Promise<void> {
  const wanted = isRefusal(step.name)
    ? [refused(...refusedWith[step.name])]
    : expected[step.name as keyof typeof expected];
  for (const [index, matches] of wanted.entries()) {
    const record = await scene.gateway
      .record((each) => each.seq > step.lastSeq && each.stage === 'completed' && matches(each))
      .catch((error: Error) => {
        throw new Error(`${step.name}, record ${index + 1}: ${error.message}`);
      });
    assert.equal(reached(record.id), record.upstream !== undefined, `${step.name}: reached the server`);
  }
}

/** The fields of each line that the program printed, by the name of the step. */
function linesOf(output: string): ReadonlyMap<string, readonly string[]> {
  const lines = output.split('\n').map((line) => line.split('\t'));
  return new Map(lines.map(([name = '', ...fields]) => [name, fields]));
}

function outcomesOf(
  stage: Stage,
  steps: readonly Step[],
  lines: ReadonlyMap<string, readonly string[]>,
  asked: readonly Refusal[],
): Outcomes {
  const outcomeOf = (name: StepName): string => {
    const index = steps.findIndex((step) => step.name === name);
    const fields = lines.get(name);
    assert.ok(index >= 0 && fields !== undefined, `${name}: the client did not do it`);
    const approvals = stage.approvals.slice(steps[index]!.approvals, steps[index + 1]!.approvals);
    return isRefusal(name) ? goesOn(name, fields) : succeeded[name](fields, approvals);
  };
  const names = [...successes, ...refusals];
  return Object.fromEntries(
    names.map((name) => [name, isRefusal(name) && !asked.includes(name) ? '–' : outcomeOf(name)]),
  ) as Outcomes;
}

function isRefusal(name: string): name is Refusal {
  return (refusals as readonly string[]).includes(name);
}

const scopesOf = (approval: URLSearchParams | undefined) => approval?.get('scope')?.split(' ') ?? [];

/** Holds what the client has seen against what it should have. */
const succeeded: Readonly<
  Record<Success, (fields: readonly string[], approvals: readonly URLSearchParams[]) => string>
> = {
  'log-in'(_fields, approvals) {
    assert.equal(approvals.length, 1, 'log-in: approvals');
    assert.ok(!scopesOf(approvals[0]).includes('queries:execute'), 'log-in: asks for what the challenge names');
    return 'yes';
  },
  list([names = '']) {
    assert.match(names, /\btest_simple_text\b/, 'listed');
    assert.doesNotMatch(names, /\btest_sampling\b/, 'listed though denied');
    return 'yes';
  },
  call([text]) {
    assert.equal(text, 'This is a simple text response for testing.');
    return 'yes';
  },
  'step-up'([text], approvals) {
    assert.equal(text, 'Tool with progress executed successfully');
    assert.equal(approvals.length, 1, 'step-up: approvals');
    assert.ok(scopesOf(approvals[0]).includes('queries:execute'), 'step-up: asks for what is missing');
    return scopesOf(approvals[0]).includes('dashboards:read') ? 'yes' : 'yes, for that scope alone';
  },
  stream([progress]) {
    // What mcp-remote relays last can be overtaken by the result.
    assert.match(progress ?? '', /^0 50( 100)?$/);
    return 'call';
  },
};

/** `fields`: `ok` or the error, and whether the call after it was made by the same session. */
function goesOn(name: Refusal, [outcome, session]: readonly string[]): string {
  assert.ok(outcome !== undefined && session !== undefined, `${name}: the client did not do it`);
  assert.notEqual(outcome, 'hangs', `${name}: the call never ended`);
  if (outcome === 'ok') return name === '401' ? 'new token' : 'goes through';
  return session === 'same' ? 'error' : 'error, new session';
}
