// Rules of the policy in force as rows: selectors, demands, place in the file, hits.
import type { LoadedConfig } from '../../config/load.ts';
import type { Place } from '../../config/problem.ts';
import { noRule, type RuleHits } from '../../gateway/rule-hits.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import type { Rule } from '../../policy/rule.ts';
import type { Selector } from '../../policy/selectors/selector-type.ts';
import { writtenRules } from '../../policy/written-rules.ts';
import { sourceWords, wantedWords } from '../../review/explain/reading-words.ts';

/** A rule, the methods that need none, or what no rule matches. */
export interface RuleRow {
  readonly route: string;
  readonly routePath: string;
  readonly name: string;
  readonly kind: 'allow' | 'deny' | 'open' | 'default';
  readonly isReported: boolean;
  /** A selector each; none matches every request of the route. */
  readonly matches: readonly string[];
  readonly demands: readonly string[];
  /** Told to whom it denies. */
  readonly message: string | undefined;
  readonly limits: readonly string[];
  /** Undefined for a rule of a preset, or one that a short form stands for. */
  readonly place: Pick<Place, 'file' | 'line'> | undefined;
  /** An earlier rule always governs in its place, by what `check` finds. */
  readonly isUnreachable: boolean;
  /** Warnings of `check` on it. */
  readonly warnings: readonly string[];
  readonly hits: RuleHits;
}

const rulePath = /^routes\[\d+\](?:\.mcp)?\.rules\[\d+\]/;

/** A row before its rule is put into words. */
export interface ListedRule extends Omit<RuleRow, 'matches' | 'demands'> {
  /** Undefined for what is no rule. */
  readonly rule: Rule | undefined;
}

/** The rules of all routes, in the order in which they are read. */
export function listRules({ places, warnings }: LoadedConfig, { config, routes }: Snapshot): ListedRule[] {
  const found = Map.groupBy(warnings, ({ path }) => rulePath.exec(path)?.[0]);
  return routes.flatMap((route, position) => {
    const { hits, policy } = route;
    const list = `routes[${position}]${route.mcp === undefined ? '' : '.mcp'}.rules`;
    const written = writtenRules(config.routes[position]!);
    const of = { route: route.name, routePath: route.path };
    const nothing = { isReported: false, isUnreachable: false, limits: [], warnings: [], rule: undefined };
    const unwritten = { ...of, ...nothing, message: undefined, place: undefined };
    const rules = (policy.withReported ?? policy).rules.map((rule, order): ListedRule => {
      const { index } = written[order]!;
      const path = index === undefined ? '' : `${list}[${index}]`;
      const { name, effect: kind, message, limits = [] } = rule;
      const onRule = found.get(path) ?? [];
      return {
        ...of,
        rule,
        name,
        kind,
        isReported: rule.mode === 'report',
        message,
        limits,
        place: places.get(path),
        isUnreachable: onRule.some((each) => each.path === path && each.message.startsWith('can never match')),
        warnings: onRule.map((each) => each.message),
        hits: hits.get(name)!,
      };
    });
    const others = [
      ['open', policy.kind === 'mcp'],
      [noRule, true],
    ] as const;
    return [
      ...rules,
      ...others.flatMap(([name, isThere]): ListedRule[] => {
        const kind = name === noRule ? 'default' : 'open';
        return isThere ? [{ ...unwritten, name, kind, hits: hits.get(name)! }] : [];
      }),
    ];
  });
}

/** The row of a rule. */
export function rowOf({ rule, ...listed }: ListedRule): RuleRow {
  return { ...listed, ...(rule === undefined ? { matches: [], demands: [] } : wordsOf(rule)) };
}

function wordsOf({ require, selectors, when }: Rule): Pick<RuleRow, 'matches' | 'demands'> {
  const demanded = (['scopes', 'anyScope', 'authenticatedBy'] as const).filter((key) => require[key].length > 0);
  return {
    matches: [
      ...selectors.toSorted(targetFirst).flatMap(({ wanted }) => wantedWords(wanted, (text) => text)),
      ...(when === undefined ? [] : [`when ${sourceWords(when.source)}`]),
    ],
    demands: [
      ...demanded.map((key) => `${key} ${require[key].join(', ')}`),
      ...(require.senderConstrained ? ['senderConstrained'] : []),
      ...(require.when === undefined ? [] : [`when ${sourceWords(require.when.source)}`]),
    ],
  };
}

const targets = ['tools', 'resources', 'prompts', 'methods', 'paths'];

function targetFirst(one: Selector, other: Selector): number {
  const isTarget = ({ wanted }: Selector): boolean => targets.some((key) => wanted[key] !== undefined);
  return Number(isTarget(other)) - Number(isTarget(one));
}
