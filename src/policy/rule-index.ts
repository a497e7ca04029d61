// Index of the rules of a policy: finds those that may match a call or a list item, in their order.
import { addressBits } from '../ip-ranges.ts';
import type { McpTargetKind } from '../mcp/message.ts';
import type { Attributes } from './attributes.ts';
import { ascending, type GlobIndex, indexGlobs, type Positions } from './glob-index.ts';
import { type ListItem, useOf } from './list-item.ts';
import { canonicalUri } from './plain-name.ts';
import { textOfClaim } from './selectors/claims.ts';
import type { Reach, Selector, Subject } from './selectors/selector-type.ts';

/** Positions of rules, by the texts that their selectors reach. */
export interface RuleIndex {
  /** Of rules that may match any call. */
  readonly anywhere: Positions;
  /** Of the others. A subject of no rule is absent. */
  readonly by: Readonly<Partial<Record<Subject, GlobIndex>>>;
  /** The claims among the subjects. */
  readonly claims: readonly string[];
}

/** Indexes rules. Each is found by the one of its reaches that the fewest others have in common with it; without one, always. */
export function indexRules(rules: readonly { readonly selectors: readonly Selector[] }[]): RuleIndex {
  const reaches = leastCommon(rules.map(({ selectors }) => selectors.flatMap(({ reaches }) => reaches ?? [])));
  const subjects = new Set(reaches.flatMap((reach) => Object.keys(reach ?? {}) as Subject[]));
  const by = [...subjects].map((subject) => {
    const entries = reaches.flatMap((reach, position) => {
      const globs = reach?.[subject];
      return globs === undefined ? [] : [[position, globs] as const];
    });
    return [subject, indexGlobs(entries)] as const;
  });
  return {
    anywhere: reaches.flatMap((reach, position) => (reach === undefined ? position : [])),
    by: Object.fromEntries(by),
    claims: [...subjects].flatMap((subject) => (subject.startsWith('claim ') ? subject.slice('claim '.length) : [])),
  };
}

/** For each rule the reach whose globs stand in the fewest rules, the last of such. */
function leastCommon(rules: readonly (readonly Reach[])[]): (Reach | undefined)[] {
  const counts = new Map<string, number>();
  const keysOf = (reach: Reach): string[] =>
    Object.entries(reach).flatMap(([subject, globs = []]) => globs.map((glob) => `${subject} ${glob}`));
  for (const key of rules.flat().flatMap(keysOf)) counts.set(key, (counts.get(key) ?? 0) + 1);
  return rules.map((reaches) => {
    const ranked = reaches.map((reach) => ({
      reach,
      rank: Math.max(...keysOf(reach).map((key) => counts.get(key)! * effortOf(key))),
    }));
    return ranked.reduce<(typeof ranked)[number] | undefined>(
      (best, next) => (best === undefined || next.rank <= best.rank ? next : best),
      undefined,
    )?.reach;
  });
}

/** A look at several values of a claim, or at the bits of an address, takes as long as at some rules. */
function effortOf(key: string): number {
  return key.startsWith('claim ') || key.startsWith('network ') ? 8 : 1;
}

/** The rules that may match the call, in order. One that is left out does not match, and does not throw. */
export function rulesOfCall(attributes: Attributes, index: RuleIndex): Iterable<number> {
  const { http, message } = attributes;
  const { by } = index;
  const found = rulesOfCaller(attributes, index);
  by.httpMethod?.find(http.method, found);
  by.path?.find(http.path, found);
  if (message?.method !== undefined) by.method?.find(message.method, found);
  if (message?.target !== undefined) {
    const { kind, name } = message.target;
    findNamed(kind, name, by, found);
    if (message.via !== undefined) findNamed(kind, message.via, by, found);
  }
  return inOrder(found);
}

/** The rules that may cover calls of the item, in order. */
export function rulesOfItem(item: ListItem, attributes: Attributes, index: RuleIndex): Iterable<number> {
  const { kind, pattern, via } = item;
  const { by } = index;
  const found = rulesOfCaller(attributes, index);
  by.method?.find(useOf[kind], found);
  if (pattern.length === 1) findNamed(kind, pattern[0]!, by, found);
  else findOverlapping(item, by, found);
  if (via !== undefined) findNamed(kind, via, by, found);
  return inOrder(found);
}

/** Those that may match any call, and those that are found by the caller. */
function rulesOfCaller({ caller, client }: Attributes, { anywhere, by, claims }: RuleIndex): Positions[] {
  const found = [anywhere];
  const { clientId, claims: held = {} } = caller?.principal ?? {};
  if (clientId !== undefined) by.client?.find(clientId, found);
  for (const claim of claims) {
    if (!Object.hasOwn(held, claim)) continue;
    const values: unknown = held[claim];
    for (const value of Array.isArray(values) ? values : [values])
      by[`claim ${claim}`]!.find(textOfClaim(value), found);
  }
  const bits = by.network && addressBits(client.address);
  if (bits !== undefined) by.network!.find(bits, found);
  return found;
}

/** Finds a URI as it is, and by its canonical forms. */
function findNamed(kind: McpTargetKind, name: string, by: RuleIndex['by'], found: Positions[]): void {
  const globs = by[kind];
  if (globs === undefined) return;
  globs.find(name, found);
  if (kind === 'resource') for (const other of otherForms(name)) globs.find(other, found);
}

/** The same for a pattern. */
function findOverlapping({ kind, pattern }: ListItem, by: RuleIndex['by'], found: Positions[]): void {
  const globs = by[kind];
  if (globs === undefined) return;
  globs.findOverlapping(pattern, found);
  if (kind !== 'resource') return;
  for (const other of otherForms(pattern.join('*'))) globs.findOverlapping(other.split('*'), found);
}

function otherForms(uri: string): readonly string[] {
  const [toAllow, toDeny] = [canonicalUri(uri, 'allow'), canonicalUri(uri, 'deny')];
  const forms = toAllow === toDeny ? [toAllow] : [toAllow, toDeny];
  return forms.filter((form) => form !== uri);
}

function inOrder(lists: readonly Positions[]): Iterable<number> {
  const filled = lists.filter(({ length }) => length > 0);
  if (filled.length > 8) return ascending(filled);
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
