// Index of the rules of a policy: finds those that may match a call or a list item, in their order.
import type { McpTargetKind } from '../mcp/message.ts';
import type { Attributes } from './attributes.ts';
import { type GlobIndex, indexGlobs, type Positions } from './glob-index.ts';
import { type ListItem, useOf } from './list-item.ts';
import { canonicalUri } from './plain-name.ts';
import { type Selector, type Subject, subjects } from './selectors/selector-type.ts';

/** Positions of rules, by the texts that their selectors reach. */
export interface RuleIndex {
  readonly all: Positions;
  /** Of rules that may match any call. */
  readonly anywhere: Positions;
  /** Of the others. A subject of no rule is absent. */
  readonly by: Readonly<Partial<Record<Subject, GlobIndex>>>;
}

/** Indexes rules. Each is found by the last of its selectors that has a reach; without one, always. */
export function indexRules(rules: readonly { readonly selectors: readonly Selector[] }[]): RuleIndex {
  const reaches = rules.map(({ selectors }) => selectors.findLast(({ reach }) => reach !== undefined)?.reach);
  const by = subjects.flatMap((subject) => {
    const entries = reaches.flatMap((reach, position) => {
      const globs = reach?.[subject];
      return globs === undefined ? [] : [[position, globs] as const];
    });
    return entries.length === 0 ? [] : [[subject, indexGlobs(entries)] as const];
  });
  return {
    all: [...rules.keys()],
    anywhere: reaches.flatMap((reach, position) => (reach === undefined ? position : [])),
    by: Object.fromEntries(by),
  };
}

/** The rules that may match the call, in order. One that is left out does not match, and does not throw. */
export function rulesOfCall({ http, message }: Attributes, index: RuleIndex): Iterable<number> {
  const { anywhere, by } = index;
  const found = [anywhere];
  by.httpMethod?.(http.method, found);
  by.path?.(http.path, found);
  if (message?.method !== undefined) by.method?.(message.method, found);
  if (message?.target !== undefined) {
    const { kind, name } = message.target;
    findNamed(kind, name, by, found);
    if (message.via !== undefined) findNamed(kind, message.via, by, found);
  }
  return inOrder(found);
}

/** The rules that may cover calls of the item, in order. */
export function rulesOfItem({ kind, pattern, via }: ListItem, { all, anywhere, by }: RuleIndex): Iterable<number> {
  const [name, ...more] = pattern;
  if (name === undefined || more.length > 0) return all;
  const found = [anywhere];
  by.method?.(useOf[kind], found);
  findNamed(kind, name, by, found);
  if (via !== undefined) findNamed(kind, via, by, found);
  return inOrder(found);
}

/** Finds a URI as it is, and by its canonical forms. */
function findNamed(kind: McpTargetKind, name: string, by: RuleIndex['by'], found: Positions[]): void {
  const find = by[kind];
  if (find === undefined) return;
  find(name, found);
  if (kind !== 'resource') return;
  const toAllow = canonicalUri(name, 'allow');
  const toDeny = canonicalUri(name, 'deny');
  if (toAllow !== name) find(toAllow, found);
  if (toDeny !== name && toDeny !== toAllow) find(toDeny, found);
}

function inOrder(lists: readonly Positions[]): Iterable<number> {
  const filled = lists.filter(({ length }) => length > 0);
  return filled.length > 1 ? merge(filled) : (filled[0] ?? []);
}

/** Each position of ascending lists once, in ascending order. */
function* merge(lists: readonly Positions[]): Generator<number> {
  const reached = lists.map(() => 0);
  for (;;) {
    let least = Number.POSITIVE_INFINITY;
    for (let of = 0; of < lists.length; of++) least = Math.min(least, lists[of]![reached[of]!] ?? least);
    if (least === Number.POSITIVE_INFINITY) return;
    yield least;
    for (let of = 0; of < lists.length; of++) if (lists[of]![reached[of]!] === least) reached[of]!++;
  }
}
