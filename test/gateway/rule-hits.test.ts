// Hits of rules: which rules a decision counts for, and which go on over a reload.
import t from 'tap';
import type { RouteConfig } from '../../src/config/schema/config.ts';
import { compileRouteHits, countDecision, noRule, type RouteHits } from '../../src/gateway/rule-hits.ts';
import type { Decision } from '../../src/policy/decision.ts';

const view = { allow: { tools: ['list_*'] }, require: { scopes: ['dashboards:read'] } };
const sql = { name: 'sql', allow: { tools: ['execute_sql'] } };
const routeWith = (...rules: object[]) => ({ name: 'mcp', path: '/mcp', authenticate: {}, mcp: { rules } }) as never;

const none = { requiredScopes: [], missingScopes: [] };
const allowed = (rule: string): Decision => ({ allow: true, rule, requiredScopes: [] });
const denied = (rule: string | undefined, reports?: Decision[]): Decision =>
  ({ allow: false, reason: 'denied', rule, ...none, ...(reports && { reports }) }) as Decision;

const read = (hits: RouteHits) =>
  [...hits].flatMap(([name, { allowed, denied, lastMs }]) => (lastMs === 0 ? [] : [[name, allowed, denied, lastMs]]));

t.test('a decision counts for its rule, the default deny, and each rule in report mode', (t) => {
  const hits = compileRouteHits(routeWith(view, sql, { ...sql, name: 'next', mode: 'report' }), undefined, 1000);
  countDecision(hits, allowed('rules[0]'), 2000);
  countDecision(hits, allowed('sql'), 2001);
  countDecision(hits, denied('sql'), 2002);
  countDecision(hits, denied(undefined, [allowed('next')]), 2003);
  countDecision(hits, allowed('open'), 2004);
  t.strictSame(read(hits), [
    ['rules[0]', 1, 0, 2000],
    ['sql', 1, 1, 2002],
    ['next', 1, 0, 2003],
    ['open', 1, 0, 2004],
    [noRule, 0, 1, 2003],
  ]);
  t.end();
});

t.test('a message that names several things counts for each of their rules', (t) => {
  const hits = compileRouteHits(routeWith(view, sql, { ...sql, name: 'a, b' }), undefined, 0);
  countDecision(hits, allowed('rules[0], sql'), 1);
  countDecision(hits, allowed('a, b'), 2);
  t.strictSame(read(hits), [
    ['rules[0]', 1, 0, 1],
    ['sql', 1, 0, 1],
    ['a, b', 1, 0, 2],
  ]);
  t.end();
});

t.test('a name that is no rule of the route adds nothing', (t) => {
  const hits = compileRouteHits(routeWith(view), undefined, 0);
  const { size } = hits;
  for (const rule of ['constructor', '__proto__', 'x'.repeat(1000), 'a, b, c']) countDecision(hits, allowed(rule), 1);
  t.strictSame([hits.size, read(hits)], [size, []]);
  t.end();
});

t.test(
  'over a reload a rule that stands as it stood goes on, also in another place, and a changed one begins anew',
  (t) => {
    const before = routeWith(view, sql);
    const hits = compileRouteHits(before, undefined, 1000);
    for (const rule of ['rules[0]', 'sql', 'open']) countDecision(hits, allowed(rule), 1500);
    const after = routeWith({ deny: { tools: ['drop_*'] } }, view, { ...sql, require: { scopes: ['x'] } });
    const next = compileRouteHits(after, { config: before, hits }, 2000);
    t.strictSame(
      [...next].map(([name, { allowed, sinceMs }]) => [name, allowed, sinceMs]),
      [
        ['rules[0]', 0, 2000],
        ['rules[1]', 1, 1000],
        ['sql', 0, 2000],
        ['open', 1, 1000],
        [noRule, 0, 1000],
      ],
    );
    countDecision(hits, allowed('rules[0]'), 2500);
    t.equal(next.get('rules[1]')!.allowed, 2, 'a request that began before the reload counts too');
    t.end();
  },
);

t.test('two rules of the same text keep counts of their own', (t) => {
  const config = routeWith(view, view);
  const hits = compileRouteHits(config, undefined, 0);
  const next = compileRouteHits(config, { config, hits }, 1);
  countDecision(next, allowed('rules[1]'), 2);
  t.strictSame(read(next), [['rules[1]', 1, 0, 2]]);
  t.end();
});

t.test('a path route without rules has the one that its short form stands for', (t) => {
  const names = (route: object) => [...compileRouteHits(route as RouteConfig, undefined, 0).keys()];
  t.strictSame(names({ authenticate: {}, scopes: ['a'] }), ['scopes', 'open', noRule]);
  t.strictSame(names({ authenticate: {} }), ['authenticated', 'open', noRule]);
  t.strictSame(names({ authenticate: 'none' }), ['anyone', 'open', noRule]);
  t.strictSame(names({ authenticate: {}, rules: [] }), ['open', noRule]);
  t.end();
});
