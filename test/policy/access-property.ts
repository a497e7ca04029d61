// The property that the residual access of a caller is open for a call exactly if `decide` allows it, over random policies, callers and calls.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { addressBits } from '../../src/ip-ranges.ts';
import { accessOf, rulesFor } from '../../src/policy/access/access.ts';
import { type Access, answerOf, errs, isFalse, isTrue, type Variable } from '../../src/policy/access/access-formula.ts';
import { compareAccess, runSteps } from '../../src/policy/access/access-simplification.ts';
import type { OpenCall, OpenCaller } from '../../src/policy/access/open-call.ts';
import { createConditionCompiler } from '../../src/policy/condition/condition.ts';
import { decide } from '../../src/policy/decide.ts';
import { compileGlobs, globCovers } from '../../src/policy/glob.ts';
import { itemOf } from '../../src/policy/list-item.ts';
import type { Policy } from '../../src/policy/rule.ts';
import { holds } from '../../src/policy/selectors/when.ts';
import { addresses, callers, mcpPolicies, pathPolicies, pathRequests } from './arbitraries.ts';
import { attributesOf, call, type Request } from './scene.ts';

/** The same caller, of whom only the client and the credentials are known. */
function openCaller(caller: Caller | undefined): OpenCaller {
  const known = { hasFixedScopes: caller === undefined, openClaims: [], openFields: new Set<string>(), clauses: [] };
  if (caller === undefined) return { ...known, caller };
  const scopes = ['dashboards:read', 'queries:execute', 'exports:create', 'dashboards:write'];
  return {
    ...known,
    caller: { ...caller, scopes, principal: { ...caller.principal, claims: {} } },
    openClaims: ['tenant', 'level', 'groups'],
    openFields: new Set(['principal.subject', 'principal.scopes', 'principal.claims']),
  };
}

const postMcp = { exceptGlobs: [], route: 'superset-mcp', http: { method: 'POST', path: '/mcp' }, message: undefined };

/** The calls of a tool. */
export function toolCall(name: string): OpenCall {
  return { ...postMcp, item: itemOf('tool', name) };
}

/** The access of a caller of whom only the client and the credentials are known. */
export function access(policy: Policy, caller: Caller | undefined, call: OpenCall): Access {
  const rules = { kind: policy.kind, rules: rulesFor(call, policy), maxOpen: Number.POSITIVE_INFINITY };
  return runSteps(accessOf(openCaller(caller), call, rules))!;
}

/** Its ways in words. */
export function words(found: Access): string[] {
  return found.map(({ clauses }) =>
    clauses.map((clause) => clause.map(({ variable, mask }) => variable.words(mask)).join(' or ')).join(', '),
  );
}

const compileCondition = createConditionCompiler();

/** The value of a variable in a request, as a bit. */
function valueIn({ key }: Variable, caller: Caller | undefined, request: Request): number {
  const [kind = '', name = '', ...rest] = key.split(' ');
  const text = key.slice(kind.length + 1);
  const bit = (isSo: boolean): number => (isSo ? isTrue : isFalse);
  switch (kind) {
    case 'scope':
      return bit(caller?.scopes.includes(name) === true);
    case 'claim': {
      const held = caller?.principal.claims ?? {};
      const values = Object.hasOwn(held, name) ? [held[name]].flat() : [];
      const accepted = JSON.parse(rest.join(' ')) as unknown[];
      return bit(values.some((value) => accepted.includes(value)));
    }
    case 'network':
      return bit(text.split(' ').some((digits) => addressBits(request.address ?? '')?.startsWith(digits) === true));
    case 'name':
      return bit(compileGlobs(JSON.parse(text) as string[])(request.message?.target?.name ?? ''));
    case 'condition':
      try {
        return bit(holds(compileCondition(text.split('\n').join(' && ')), attributesOf(caller, request)));
      } catch {
        return errs;
      }
    default:
      throw new Error(`no such variable: ${key}`);
  }
}

function isOpen(found: Access, caller: Caller | undefined, request: Request): boolean {
  return found.some(({ clauses }) =>
    clauses.every((clause) => clause.some(({ variable, mask }) => (valueIn(variable, caller, request) & mask) !== 0)),
  );
}

/** Checks it, and gives the number of runs for each thing that was seen. */
export function checkAgreement(numRuns: number) {
  const seen = {
    yes: 0,
    no: 0,
    conditional: 0,
    allowed: 0,
    denied: 0,
    globs: 0,
    paths: 0,
    same: 0,
    wider: 0,
    narrower: 0,
  };
  const names = ['get_a', 'get_b', 'get_a_b', 'set_a', 'other'];
  const others = {
    '*': 'zz',
    'get_*': 'get_zz',
    '*_a': 'zz_a',
    'get_*_b': 'get_zz_b',
    's*_a': 's_zz_a',
    'get_*_a': 'get_zz_a',
  };
  const globs = Object.keys(others);
  const args = fc.constantFrom<unknown>(
    {},
    { x: 1 },
    { x: 2, list: [1] },
    { x: 'a', list: [] },
    { x: 1, X: 1 },
    undefined,
  );
  const agree = (policy: Policy, open: OpenCall, caller: Caller | undefined, request: Request): Access => {
    const found = access(policy, caller, open);
    const decision = decide(attributesOf(caller, request), policy);
    assert.equal(isOpen(found, caller, request), decision.allow, JSON.stringify(words(found)));
    seen[answerOf(found)] += 1;
    seen[decision.allow ? 'allowed' : 'denied'] += 1;
    return found;
  };
  const mcp = fc.property(
    fc.tuple(mcpPolicies, mcpPolicies),
    callers,
    addresses,
    args,
    fc.constantFrom(...names),
    fc.constantFrom(...globs) as fc.Arbitrary<keyof typeof others>,
    ([policy, other], caller, address, given, name, glob) => {
      const request = { ...call(name, given), address };
      const found = agree(policy, toolCall(name), caller, request);
      const changed = access(other, caller, toolCall(name));
      const change = compareAccess(found, changed);
      if (change !== 'incomparable') seen[change] += 1;
      const [before, after] = [isOpen(found, caller, request), isOpen(changed, caller, request)];
      if (change === 'same') assert.equal(before, after);
      if (change === 'wider') assert.ok(after || !before);
      if (change === 'narrower') assert.ok(before || !after);
      seen.globs += 1;
      const exceptGlobs = globs.filter((each) => each !== glob && globCovers(glob, each));
      const item = { kind: 'tool' as const, pattern: glob.split('*'), except: new Set(names), via: undefined };
      agree(policy, { ...postMcp, item, exceptGlobs }, caller, { ...call(others[glob], given), address });
    },
  );
  const path = fc.property(
    pathPolicies,
    callers,
    addresses,
    pathRequests,
    (policy, caller, address, { method, path }) => {
      seen.paths += 1;
      const open = {
        item: undefined,
        exceptGlobs: [],
        route: 'superset-mcp',
        http: { method, path },
        message: undefined,
      };
      agree(policy, open, caller, { method, path, address });
    },
  );
  fc.assert(mcp, { numRuns });
  fc.assert(path, { numRuns: numRuns / 4 });
  return seen;
}
