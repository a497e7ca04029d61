// Difference of two configurations in what they mean: who gains, who loses, and under which condition.
import { type Access, answerOf, rulesOf } from '../../policy/access/access-formula.ts';
import { type AccessChange, compareAccess } from '../../policy/access/access-simplification.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type AccessReport, type Question, type ReportedCaller, type ReportedItem, reportAccess } from './access.ts';
import { nameTogether, wordsOfAccess } from './access-words.ts';
import { type ConfigurationChange, compareConfigurations } from './configuration-diff.ts';
import { compareLimits } from './limits-diff.ts';
import { compareScopes } from './scopes-diff.ts';

/** `gained` and `lost` are from and to no access at all; `changed` cannot be compared. */
export type ChangeOfAccess = 'gained' | 'lost' | 'wider' | 'narrower' | 'changed';

/** The change of one caller's access to one item. */
export interface CallerChange {
  readonly caller: ReportedCaller;
  readonly change: ChangeOfAccess;
  readonly before: Access;
  readonly after: Access;
}

/** An item to which somebody's access has changed. */
export interface ItemChange {
  readonly item: ReportedItem;
  readonly callers: readonly CallerChange[];
}

/** The difference of two configurations. */
export interface PolicyDiff {
  /** All callers of both configurations. */
  readonly callers: readonly ReportedCaller[];
  readonly items: readonly ItemChange[];
  /** Changes that no rule shows, such as of an issuer. */
  readonly configuration: readonly ConfigurationChange[];
}

/** Compares what two configurations mean at an instant. */
export function diffPolicies(before: PolicyFile, after: PolicyFile, now: number, asked: Question): PolicyDiff {
  const [old, next] = reportAccess([before, after], now, asked) as [AccessReport, AccessReport];
  const [oldItems, nextItems] = [byKey(old), byKey(next)];
  const keys = new Set([...nextItems.keys(), ...oldItems.keys()]);
  const items = [...keys].flatMap((key): ItemChange[] => {
    const [one, other] = [oldItems.get(key), nextItems.get(key)];
    const callers = next.callers.flatMap((caller) => changeOf(caller, one, other) ?? []);
    return callers.length === 0 ? [] : [{ item: (other ?? one)!, callers }];
  });
  const configuration = [
    ...compareConfigurations(before, after, now),
    ...compareScopes(before, after),
    ...compareLimits(before, after),
  ];
  return { callers: next.callers, items, configuration };
}

/** Paths are the same whatever route serves them. */
function byKey({ items }: AccessReport): ReadonlyMap<string, ReportedItem> {
  return new Map(
    items.map((item) => [`${item.kind === 'path' ? '' : item.routePath} ${item.kind} ${item.name}`, item]),
  );
}

function changeOf(caller: ReportedCaller, one?: ReportedItem, other?: ReportedItem): CallerChange | undefined {
  const before = one?.access.get(caller.id) ?? [];
  const after = other?.access.get(caller.id) ?? [];
  const change = nameOfChange(before, after, compareAccess(before, after));
  return change && { caller, change, before, after };
}

function nameOfChange(before: Access, after: Access, change: AccessChange): ChangeOfAccess | undefined {
  if (change === 'same') return undefined;
  if (answerOf(before) === 'no') return 'gained';
  if (answerOf(after) === 'no') return 'lost';
  return change === 'incomparable' ? 'changed' : change;
}

/** Reports whether anybody may do what was not allowed before, as far as that can be told: what cannot be compared counts. */
export function isWidened({ items, configuration }: PolicyDiff): boolean {
  const widening: ReadonlySet<ChangeOfAccess> = new Set(['gained', 'wider', 'changed']);
  return (
    configuration.some(({ mayWiden }) => mayWiden) ||
    items.some(({ callers }) => callers.some(({ change }) => widening.has(change)))
  );
}

/** Reports whether there is any difference. */
export function isChanged({ items, configuration }: PolicyDiff): boolean {
  return items.length > 0 || configuration.length > 0;
}

/** Both accesses in words, which are never the same: then nothing is shortened. */
export function wordsOfChange({ before, after }: Pick<CallerChange, 'before' | 'after'>): readonly [string, string] {
  const [one, other] = [false, true]
    .map((isWhole) => [wordsOfAccess(before, isWhole), wordsOfAccess(after, isWhole)] as const)
    .find(([old, next], index) => old !== next || index > 0)!;
  return [one, one === other ? `${other} (what is not shown differs)` : other];
}

/** Callers with the same change, as one line. */
export interface ChangesAlike {
  readonly who: string;
  readonly change: ChangeOfAccess;
  readonly before: string;
  readonly after: string;
  readonly rules: string;
}

/** The changes of an item, those alike together. */
export function groupChanges({ callers: changes }: ItemChange, callers: readonly ReportedCaller[]): ChangesAlike[] {
  const lineOf = ({ change, before, after }: CallerChange): string =>
    JSON.stringify([change, ...wordsOfChange({ before, after }), rulesOf(change === 'lost' ? before : after)]);
  return [...Map.groupBy(changes, lineOf)].map(([line, alike]) => {
    const [change, before, after, rules] = JSON.parse(line) as [ChangeOfAccess, string, string, string];
    const of = alike.map(({ caller }) => caller.caller);
    return { who: nameTogether(of, callers), change, before, after, rules };
  });
}
