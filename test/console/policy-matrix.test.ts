// Matrix of who can do what, worked out in slices: the same as `portcullis who-can` tells, once for a policy, and given up when nobody waits.
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { createMatrixKeeper, matrixBounds, matrixOf } from '../../src/console/policy/access-matrix.ts';
import { answerOf, rulesOf } from '../../src/policy/access/access-formula.ts';
import { runSteps } from '../../src/policy/access/access-simplification.ts';
import type { Policy } from '../../src/policy/rule.ts';
import { reportAccess } from '../../src/review/access/access.ts';
import { wordsOfAccess } from '../../src/review/access/access-words.ts';
import { openPolicyFile, type PolicyFile } from '../../src/review/policy-file.ts';
import { mcpPolicies } from '../policy/arbitraries.ts';

const folder = t.testdir({
  'gateway.yaml': `
version: 1
server: {listen: 127.0.0.1:8443, publicUrl: http://127.0.0.1:8443}
authenticators:
  corp-oauth: {type: jwt, issuer: https://idp.example.com/, claims: {tenant: org_id, level: level, groups: roles}}
upstreams: {superset: {url: http://127.0.0.1:5008}}
routes:
  - {name: superset-mcp, path: /mcp, upstream: superset, authenticate: corp-oauth, mcp: {rules: [{allow: {tools: [a]}}]}}
  - {name: api, path: /api/*, upstream: superset, authenticate: corp-oauth, scopes: [dashboards:read]}
audit: {sinks: [{type: stdout}]}
`,
});
const file = await openPolicyFile(join(folder, 'gateway.yaml'), { env: {} });
t.teardown(() => file.close());
const now = Date.UTC(2026, 10, 1);

function withPolicy(policy: Policy): PolicyFile {
  const policies = new Map([...file.loaded.policies, ['superset-mcp', policy]]);
  return { ...file, loaded: { ...file.loaded, policies } };
}

/** Cells as text, by item and caller. */
function cellsOf(policyFile: PolicyFile, bounds = matrixBounds): string[] {
  const { answers, callers, cells, items } = runSteps(matrixOf(policyFile, now, bounds));
  return items.flatMap(({ kind, name }, row) =>
    callers.map((caller, column) => {
      const { access, condition, rules } = answers[cells[row * callers.length + column]!]!;
      return JSON.stringify([kind, name, caller.name, access, condition, rules]);
    }),
  );
}

function cellsOfCommand(policyFile: PolicyFile): string[] {
  const [{ callers, items }] = reportAccess([policyFile], now, { clients: [], tools: [] }) as [
    ReturnType<typeof reportAccess>[number],
  ];
  const names = runSteps(matrixOf(policyFile, now)).callers.map(({ name }) => name);
  return items.flatMap(({ access, kind, name }) =>
    callers.map(({ id }, column) => {
      const ways = access.get(id) ?? [];
      const answer = answerOf(ways);
      const condition = answer === 'conditional' ? wordsOfAccess(ways) : undefined;
      return JSON.stringify([kind, name, names[column], answer, condition, rulesOf(ways) || undefined]);
    }),
  );
}

t.test('a cell is what the command tells, for random policies', (t) => {
  fc.assert(
    fc.property(mcpPolicies, (policy) => {
      const changed = withPolicy(policy);
      const [cells, expected] = [cellsOf(changed), cellsOfCommand(changed)];
      return cells.length > 0 && JSON.stringify(cells) === JSON.stringify(expected);
    }),
    { numRuns: 25, seed: 16 },
  );
  t.end();
});

t.test('beyond its bounds a cell is unknown, never a guess, and what is left out is counted', (t) => {
  const all = cellsOf(file);
  const unknown = cellsOf(file, { ...matrixBounds, steps: -1 });
  t.equal(unknown.length, all.length);
  t.ok(unknown.every((cell) => cell.includes('"unknown"')));
  const { cut, items } = runSteps(matrixOf(file, now, { ...matrixBounds, cells: 4 }));
  t.equal(items.length, 2);
  t.strictSame(cut, { callers: 0, items: runSteps(matrixOf(file, now)).items.length - 2 });
  t.end();
});

t.test('the same policy is worked out once, and another one anew', async (t) => {
  const ask = createMatrixKeeper({ now: () => now, pauseMs: 0 });
  const [first, second] = await Promise.all([ask(file, 60_000), ask(file, 60_000)]);
  t.ok(first!.cells.length > 0);
  t.equal(second, first);
  t.equal(await ask(file, 60_000), first);
  const other = await ask({ ...file, revocations: { ...file.revocations } }, 60_000);
  t.not(other, first, 'a revocation changes who can do what');
  t.same(other!.answers, first!.answers);
});

t.test(
  'work that nobody waits for is given up before its first step, and begun anew when it is asked for',
  async (t) => {
    let clock = 0;
    let looks = 0;
    class Counted extends Map<string, Policy> {
      override values() {
        looks++;
        return super.values();
      }
    }
    const counted = { ...file, loaded: { ...file.loaded, policies: new Counted(file.loaded.policies) } };
    const ask = createMatrixKeeper({ now: () => clock, pauseMs: 0, patienceMs: 10_000 });
    const asked = ask(counted, 60_000);
    clock = 10_001;
    t.equal(await asked, undefined);
    t.equal(looks, 0);
    t.ok(await ask(counted, 60_000));
    t.ok(looks > 0);
  },
);
