// Rules: their schema, and the compiled policy of a route, which is immutable and shared by all its requests.
import * as z from 'zod';
import { limitNames } from '../limits/limit.ts';
import type { MetaTools } from '../mcp/meta-tools.ts';
import type { Condition } from './condition/condition.ts';
import { type Requirement, type RequirementConfig, requirement } from './requirement.ts';
import type { RuleIndex } from './rule-index.ts';
import type { Effect, Selector } from './selectors/selector-type.ts';
import { mcpSelectors, pathSelectors } from './selectors/selector-types.ts';

/** `report`: the rule is decided, counted and recorded, and the rules behind it go on as if it were not there. */
const mode = z.enum(['enforce', 'report']);

const ruleOf = <S extends z.ZodType>(selectors: S) =>
  z.strictObject({
    name: z.string().min(1).max(128).optional().describe('Names the rule in records; default its position.'),
    allow: selectors.optional().describe('The calls that this rule allows.'),
    deny: selectors.optional().describe('The calls that this rule denies.'),
    require: requirement.optional().describe('Demands of the rule on such calls; unmet, the call is denied.'),
    message: z
      .string()
      .min(1)
      .max(512)
      .regex(/^\P{Cc}*$/u, 'expected text on one line, without control characters')
      .optional()
      .describe('Told to whom this rule denies, or who does not meet require, in place of our sentence.'),
    limits: limitNames.optional().describe('Limits of the calls that this rule allows, by name.'),
    mode: mode
      .optional()
      .describe('enforce (default), or report: its decision is only recorded, and the next rules decide.'),
  });

export const mcpRule = ruleOf(mcpSelectors);
export const pathRule = ruleOf(pathSelectors);

export type McpRuleConfig = z.output<typeof mcpRule>;
export type PathRuleConfig = z.output<typeof pathRule>;
export type RuleConfig = McpRuleConfig | PathRuleConfig;

/** A rule with selectors of one kind. */
export interface RuleConfigOf<C> {
  readonly name?: string | undefined;
  readonly allow?: C | undefined;
  readonly deny?: C | undefined;
  readonly require?: RequirementConfig | undefined;
  readonly message?: string | undefined;
  readonly limits?: readonly string[] | undefined;
  readonly mode?: Rule['mode'] | undefined;
}

export const effects = ['allow', 'deny'] as const satisfies readonly Effect[];

/** A compiled rule. */
export interface Rule {
  /** As configured, or its place, such as `rules[2]`. */
  readonly name: string;
  readonly effect: Effect;
  /** All must match. They are tried in this order. Rules of the same selectors share them. */
  readonly selectors: readonly Selector[];
  /** Must hold too. It is evaluated last. */
  readonly when: Condition | undefined;
  readonly require: Requirement;
  /** The sentence of its denials. */
  readonly message?: string | undefined;
  /** Names of the limits of what it allows; undefined without any. */
  readonly limits?: readonly string[] | undefined;
  readonly mode: z.output<typeof mode>;
}

/** Rules in their order. */
export interface RuleList {
  readonly rules: readonly Rule[];
  /** Of `rules`. */
  readonly index: RuleIndex;
}

/** The compiled rules of a route; those of its own list are enforced. */
export interface Policy extends RuleList {
  /** On an MCP route some methods need no rule. */
  readonly kind: 'mcp' | 'path';
  /** All rules, with those in report mode among them; undefined where there are none. */
  readonly withReported: RuleList | undefined;
  /** Tools that are looked through; none on path routes. */
  readonly metaTools: MetaTools;
  /** The tools that are known by name, from rules, preset and meta-tools: a closed list for metric labels. */
  readonly toolNames: ReadonlySet<string>;
}

/** The scopes that the rules speak of, without duplicates: what a client may be told to ask for first. Of `anyScope` the first. */
export function scopesOf(policy: Policy): string[] {
  return [...new Set(policy.rules.flatMap(({ require }) => [...require.scopes, ...require.anyScope.slice(0, 1)]))];
}
