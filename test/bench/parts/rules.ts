// Part `rules`: growth with the number of rules, and of conditions, that a call passes before one decides. All routes are of one process.
import type { Configuration } from '../../support/configuration.ts';
import { type Contest, same } from '../contest.ts';
import { callOf } from '../requests.ts';

const sql = 'execute_sql';
const require = { scopes: ['queries:execute'] };

/** Each names a tool of its own; the last one the tool that is called. */
function ofOtherTools(count: number): Configuration[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `rule-${index}`,
    allow: { tools: [index === count - 1 ? sql : `tool_${index}`] },
    require,
  }));
}

/** Each names the tool that is called, with a condition that only the last one meets. */
function ofConditions(count: number): Configuration[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `rule-${index}`,
    allow: { tools: [sql], when: `args.request.limit == ${100 + count - 1 - index}` },
    require,
  }));
}

const script = 'dist/main.js' as const;
const nameOf = (count: number) => `${count} rules, the last one matches`;
const [one, many] = ['1 rule with a condition', '1000 rules of the tool, each with a condition'];
const rows = [
  ...[10, 100, 1000].map((count) => ({
    path: `/rules-${count}`,
    rules: ofOtherTools(count),
    entry: { name: nameOf(count), base: nameOf(10), script },
  })),
  { path: '/condition', rules: ofConditions(1), entry: { name: one, base: one, script } },
  { path: '/conditions', rules: ofConditions(1000), entry: { name: many, base: one, script, weight: 10 } },
] as const;

export const rules: Contest = {
  scene: { routes: Object.fromEntries(rows.map(({ path, rules }) => [path, rules])) },
  entries: (scene) => rows.map(({ entry, path }) => same(scene, entry, { body: callOf(), path })),
  bounds: [
    { of: nameOf(1000), to: nameOf(10), atMost: 1.15 },
    { of: many, to: one, atMost: 3 },
  ],
};
