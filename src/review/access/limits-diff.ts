// Difference of two configurations in limits: their sizes, and the routes and rules that are under them.
import { compileLimits, type Limit } from '../../limits/limit.ts';
import { rulesOf } from '../../policy/presets.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { ConfigurationChange } from './configuration-diff.ts';

/** Compares limits. One that lets more calls pass, or may, widens; one more of them does not. */
export function compareLimits(before: PolicyFile, after: PolicyFile): ConfigurationChange[] {
  const [old, next] = [before, after].map(({ loaded }) => compileLimits(loaded.config.limits)) as [Limits, Limits];
  const sizes = [...next.values()].flatMap((limit): ConfigurationChange[] => {
    const earlier = old.get(limit.name);
    if (earlier === undefined || wordsOf(earlier) === wordsOf(limit)) return [];
    const words = `limit ${limit.name}: ${wordsOf(limit)}; before ${wordsOf(earlier)}`;
    return [{ words, mayWiden: !isStricter(limit, earlier) }];
  });
  const routes = before.loaded.config.routes.flatMap((route) => {
    const later = after.loaded.config.routes.find(({ path }) => path === route.path);
    return later === undefined ? [] : compareUses(route, later, next);
  });
  return [...sizes, ...routes];
}

function compareUses(before: Route, after: Route, limits: Limits): ConfigurationChange[] {
  const [old, next] = [usesOf(before), usesOf(after)];
  if (old.map(({ calls }) => calls).join() === next.map(({ calls }) => calls).join()) {
    return next.flatMap(({ names, words }, index) => changesOf(words, old[index]!.names, names, limits));
  }
  const ofRoute = changesOf(`route ${after.name}`, before.limits, after.limits, limits);
  // Another rule may govern calls that were under a limit.
  const isUnder = old.some(({ isRule, names }) => isRule && names.length > 0);
  const words = `route ${after.name}: other rules, so that calls may have left the limits of their rule`;
  return isUnder ? [...ofRoute, { words, mayWiden: true }] : ofRoute;
}

function changesOf(place: string, before: readonly string[], after: readonly string[], limits: Limits) {
  const gone = before.filter((name) => !after.includes(name));
  const added = after.filter((name) => !before.includes(name));
  return [
    ...gone.map((name) => ({ words: `${place}: no longer under the limit ${name}`, mayWiden: true })),
    ...added.map((name) => ({
      words: `${place}: under the limit ${name}, ${wordsOf(limits.get(name)!)}`,
      mayWiden: false,
    })),
  ];
}

type Route = PolicyFile['loaded']['config']['routes'][number];
type Limits = ReadonlyMap<string, Limit>;

function wordsOf({ per, words }: Limit): string {
  return per.length === 0 ? words : `${words}, for each ${per.join(' and ')}`;
}

/** True where no call passes that did not pass before. Quotas and rates, and other buckets, cannot be compared. */
function isStricter({ per, size }: Limit, { per: earlierPer, size: earlier }: Limit): boolean {
  if (per.toSorted().join() !== earlierPer.toSorted().join()) return false;
  if (size.kind === 'bucket')
    return earlier.kind === 'bucket' && size.burst <= earlier.burst && size.intervalMs >= earlier.intervalMs;
  return earlier.kind === 'window' && size.windowMs === earlier.windowMs && size.points <= earlier.points;
}

/** A route or a rule with the names of its limits. `calls` is equal for rules of the same calls. */
interface Use {
  readonly words: string;
  readonly calls: string;
  readonly names: readonly string[];
  readonly isRule: boolean;
}

function usesOf({ limits, mcp, name, rules = [] }: Route): Use[] {
  const words = `route ${name}`;
  return [
    { words, calls: '', names: limits, isRule: false },
    ...(mcp === undefined ? rules : rulesOf(mcp)).map((rule, index) => ({
      words: `${words}, rule ${rule.name ?? `rules[${index}]`}`,
      calls: JSON.stringify([rule.allow, rule.deny, rule.mode]),
      names: rule.limits ?? [],
      isRule: true,
    })),
  ];
}
