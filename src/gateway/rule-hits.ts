// Hits of rules: how often each has decided, and when last. Written where a decision is made, read by the console.
import type { RouteConfig } from '../config/schema/config.ts';
import type { Decision } from '../policy/decision.ts';
import { writtenRules } from '../policy/written-rules.ts';

/** The hits of one rule in this process. Times are milliseconds since 1970. */
export interface RuleHits {
  allowed: number;
  denied: number;
  /** 0 before the first. */
  lastMs: number;
  /** Since when the rule is in force as it stands. */
  readonly sinceMs: number;
}

/** By the names that decisions give: of rules, `open` for what needs none, and `noRule`. Callers add nothing to it. */
export type RouteHits = ReadonlyMap<string, RuleHits>;

/** The name for requests that no rule matches. No rule has an empty name. */
export const noRule = '';

/** Of a route that is no part of the configuration. */
export const uncounted: RouteHits = new Map();

/** A route, and the hits of its rules. */
export interface CountedRoute {
  readonly config: RouteConfig;
  readonly hits: RouteHits;
}

/** Counts from now on. A rule that stood in `previous` as it stands now goes on from there. */
export function compileRouteHits(route: RouteConfig, previous: CountedRoute | undefined, nowMs: number): RouteHits {
  const known = new Map(
    previous && textsOf(previous.config).map(([name, text]) => [text, previous.hits.get(name)] as const),
  );
  return new Map(
    textsOf(route).map(([name, text]) => {
      const hits = known.get(text) ?? { allowed: 0, denied: 0, lastMs: 0, sinceMs: nowMs };
      // Of two rules with the same text the first is the one that was known.
      known.delete(text);
      return [name, hits];
    }),
  );
}

/** The names of all that can decide on a route, each with a text that is equal for what decides alike. */
function textsOf(route: RouteConfig): [name: string, text: string][] {
  return [
    ...writtenRules(route).map(({ name, config }): [string, string] => [name, JSON.stringify(config)]),
    ['open', 'open'],
    [noRule, noRule],
  ];
}

/** Counts a decision, and what rules in report mode decided. */
export function countDecision(hits: RouteHits, decision: Decision, nowMs: number): void {
  countRule(hits, decision, nowMs);
  if (decision.reports === undefined) return;
  for (const report of decision.reports) countRule(hits, report, nowMs);
}

function countRule(hits: RouteHits, { allow, rule = noRule }: Decision, nowMs: number): void {
  const own = hits.get(rule);
  if (own === undefined) {
    // A message that names several things is decided by several rules.
    for (const name of rule.split(', ')) count(hits.get(name), allow, nowMs);
  } else count(own, allow, nowMs);
}

function count(hits: RuleHits | undefined, allow: boolean, nowMs: number): void {
  if (hits === undefined) return;
  if (allow) hits.allowed++;
  else hits.denied++;
  hits.lastMs = nowMs;
}
