// The property that an explanation comes to what `decide` decides, over random policies, callers and calls.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decide } from '../../src/policy/decide.ts';
import { explain } from '../../src/policy/explain.ts';
import type { Policy } from '../../src/policy/rule.ts';
import { addresses, callers, calls, mcpPolicies, pathPolicies, pathRequests } from './arbitraries.ts';
import { attributesOf, type Request } from './scene.ts';

/** Checks it, and gives the number of runs for each thing that was seen. */
export function checkAgreement(numRuns: number): Readonly<Record<string, number>> {
  const seen: Record<string, number> = {
    ...{ allow: 0, denied: 0, insufficient_scope: 0, condition_error: 0 },
    ...{
      message: 0,
      report: 0,
      reports: 0,
      governs: 0,
      no_match: 0,
      error: 0,
      not_reached: 0,
      several: 0,
      open: 0,
      no_rule: 0,
      unknown_member: 0,
    },
    ...{ held: 0, implied: 0, capped: 0, missing: 0 },
  };
  const see = (key: string) => {
    seen[key]! += 1;
  };
  const mcp = fc.tuple(mcpPolicies, calls as fc.Arbitrary<Request>);
  const path = fc.tuple(pathPolicies, pathRequests as fc.Arbitrary<Request>);
  const both: fc.Arbitrary<[Policy, Request]> = fc.oneof({ weight: 4, arbitrary: mcp }, { weight: 1, arbitrary: path });
  const check = fc.property(both, callers, addresses, ([policy, request], caller, address) => {
    const attributes = () => attributesOf(caller, { ...request, address });
    const decision = decide(attributes(), policy);
    const explanation = explain(attributes(), policy);
    assert.deepEqual(defined(explanation.decision), defined(decision));
    if ('message' in decision) see('message');
    if (decision.reports !== undefined) see('report');
    see(decision.allow ? 'allow' : decision.reason);
    if (explanation.parts.length > 1) see('several');
    for (const { rules, otherwise } of explanation.parts) {
      if (otherwise !== undefined) see(otherwise);
      assert.deepEqual(
        rules.map(({ rule }) => rule),
        (policy.withReported ?? policy).rules.map(({ name }) => name),
      );
      for (const { outcome, demands } of rules) {
        see(outcome);
        for (const demand of demands) if ('scopes' in demand) for (const { state } of demand.scopes) see(state);
      }
    }
  });
  fc.assert(check, { numRuns });
  return seen;
}

/** Absent and undefined are the same to readers of a decision. */
function defined(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}
