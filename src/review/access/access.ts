// Access review: who may do what by a configuration, and under which conditions that remain.

import { compileRequirements, type Requirements } from '../../authn/requirements.ts';
import { accessOf, rulesFor } from '../../policy/access/access.ts';
import type { Access, Way } from '../../policy/access/access-formula.ts';
import { runSteps, type Steps, simplify } from '../../policy/access/access-simplification.ts';
import type { Rule } from '../../policy/rule.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CallerClass, callersOf, idOf } from './access-callers.ts';
import { type AccessItem, itemNamesOf, itemsOf } from './access-items.ts';
import { type CallerRoute, type Presentations, presentationsOf } from './access-presentations.ts';

/** A caller, and why it is refused at the time of the review. */
export interface ReportedCaller {
  readonly id: string;
  readonly caller: CallerClass;
  readonly refused: string | undefined;
}

/** An item, with the access of each caller by its id; a caller without any is absent. */
export interface ReportedItem extends AccessItem {
  readonly access: ReadonlyMap<string, Access>;
}

/** The access of all callers to all items. */
export interface AccessReport {
  readonly callers: readonly ReportedCaller[];
  readonly items: readonly ReportedItem[];
}

/** The question of a review. */
export interface Question {
  /** Clients and tools that no file need name. */
  readonly clients: readonly string[];
  readonly tools: readonly string[];
  /** Leaves the other items out. */
  includes?(item: AccessItem): boolean;
}

/** The cells of a review of one configuration, each worked out when it is asked for. */
export interface AccessCells {
  readonly callers: readonly CallerClass[];
  readonly items: readonly AccessItem[];
  /**
   * The access of a caller to an item; undefined where more than `maxOpen` rules depend on what is open. One item after the other is cheapest.
   */
  accessTo(item: AccessItem, caller: CallerClass, maxOpen: number): Steps<Access | undefined>;
  /** The reason of a refusal, as far as the caller was asked about. */
  refusalOf(caller: CallerClass): string | undefined;
}

/** Reviews configurations at an instant, each for the callers and items that any of them has. */
export function* askAccess(files: readonly PolicyFile[], now: number, asked: Question): Steps<AccessCells[]> {
  const names = itemNamesOf(files, asked.tools);
  yield;
  const found = files.flatMap((file) => callersOf(file, asked.clients));
  const callers = [...new Map(found.map((caller) => [idOf(caller), caller])).values()];
  yield;
  return files.map((file) => {
    const items = itemsOf(file, names).filter((item) => asked.includes?.(item) ?? true);
    return { callers, items, ...cellsOf(file, now) };
  });
}

function cellsOf(file: PolicyFile, now: number): Pick<AccessCells, 'accessTo' | 'refusalOf'> {
  const { policies } = file.loaded;
  const context = { now, scopes: scopesIn(file) };
  const routes = new Map<string, CallerRoute>();
  const presentations = new Map<string, Presentations>();
  const refusals = new Map<string, string>();
  let last: { readonly item: AccessItem; readonly rules: readonly Rule[] } | undefined;
  const routeOf = (item: AccessItem): CallerRoute => {
    const known = routes.get(item.routeName);
    const route = known ?? { requirements: requirementsOf(item, file), resource: item.route.resource };
    routes.set(item.routeName, route);
    return route;
  };
  return {
    *accessTo(item, caller, maxOpen) {
      const id = idOf(caller);
      const key = JSON.stringify([item.routeName, id]);
      const { openCallers, refused } = presentations.get(key) ?? presentationsOf(caller, routeOf(item), file, context);
      presentations.set(key, { openCallers, refused });
      if (refused !== undefined && !refusals.has(id)) refusals.set(id, refused);
      const policy = policies.get(item.routeName)!;
      if (last?.item !== item) last = { item, rules: rulesFor(item.call, policy) };
      const asked = { kind: policy.kind, maxOpen, rules: last.rules };
      const ways: Way[] = [];
      for (const open of openCallers) {
        const access = yield* accessOf(open, item.call, asked);
        if (access === undefined) return undefined;
        ways.push(...access);
      }
      return yield* simplify(ways);
    },
    refusalOf: (caller) => refusals.get(idOf(caller)),
  };
}

/** The same as a whole. */
export function reportAccess(files: readonly PolicyFile[], now: number, asked: Question): readonly AccessReport[] {
  return runSteps(askAccess(files, now, asked)).map(({ accessTo, callers, items, refusalOf }) => {
    const accessOf = (item: AccessItem, caller: CallerClass) =>
      runSteps(accessTo(item, caller, Number.POSITIVE_INFINITY))!;
    const reported = items.map((item) => {
      const all = callers.map((caller) => [idOf(caller), accessOf(item, caller)] as const);
      return { ...item, access: new Map(all.filter(([, access]) => access.length > 0)) };
    });
    const asked = callers.map((caller) => ({ id: idOf(caller), caller, refused: refusalOf(caller) }));
    return { callers: asked, items: reported };
  });
}

function requirementsOf({ route }: AccessItem, { loaded, snapshot }: PolicyFile): Requirements {
  return compileRequirements(route, snapshot.authenticators.byName, loaded.config.scopeImplies);
}

/** The scopes that matter: a rule demands them, or they imply others. */
function scopesIn({ loaded }: PolicyFile): readonly string[] {
  const demanded = [...loaded.policies.values()].flatMap(({ rules }) =>
    rules.flatMap(({ require }) => [...require.scopes, ...require.anyScope]),
  );
  return [...new Set([...demanded, ...Object.keys(loaded.config.scopeImplies ?? {})])];
}

/** The part of a review that is about one client: its tokens, keys and certificates, and what is open to anyone. */
export function ofClient(report: AccessReport, client: string): AccessReport {
  const isOf = (caller: CallerClass): boolean => {
    if (caller.kind === 'anyone') return true;
    const id = caller.kind === 'client' ? caller.name : 'clientId' in caller ? caller.clientId : undefined;
    return id === client;
  };
  const callers = report.callers.filter(({ caller }) => isOf(caller));
  const ids = new Set(callers.map(({ id }) => id));
  const items = report.items.map((item) => ({
    ...item,
    access: new Map([...item.access].filter(([id]) => ids.has(id))),
  }));
  return { callers, items };
}
