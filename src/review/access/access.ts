// Access review: who may do what by a configuration, and under which conditions that remain.

import { compileRequirements, type Requirements } from '../../authn/requirements.ts';
import { accessOf, rulesFor } from '../../policy/access/access.ts';
import { type Access, simplify } from '../../policy/access/access-formula.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CallerClass, callersOf, idOf } from './access-callers.ts';
import { type AccessItem, itemNamesOf, itemsOf } from './access-items.ts';
import { type Presentations, presentationsOf } from './access-presentations.ts';

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

/** Reviews configurations at an instant, each for the callers and items that any of them has. */
export function reportAccess(files: readonly PolicyFile[], now: number, asked: Question): readonly AccessReport[] {
  const names = itemNamesOf(files, asked.tools);
  const found = files.flatMap((file) => callersOf(file, asked.clients));
  const callers = [...new Map(found.map((caller) => [idOf(caller), caller])).values()];
  return files.map((file) => {
    const scopes = scopesIn(file);
    const presentations = new Map<string, ReadonlyMap<string, Presentations>>();
    const presentationsOn = (item: AccessItem): ReadonlyMap<string, Presentations> => {
      const known = presentations.get(item.routeName);
      if (known !== undefined) return known;
      const route = { requirements: requirementsOf(item, file), resource: item.route.resource };
      const found = new Map(
        callers.map((caller) => [idOf(caller), presentationsOf(caller, route, file, { now, scopes })]),
      );
      presentations.set(item.routeName, found);
      return found;
    };
    const included = itemsOf(file, names).filter((item) => asked.includes?.(item) ?? true);
    const items = included.map((item) => ({
      ...item,
      access: accessTo(item, presentationsOn(item), file),
    }));
    const refusals = [...presentations.values()];
    const reported = callers.map((caller) => {
      const id = idOf(caller);
      return {
        id,
        caller,
        refused: refusals.map((found) => found.get(id)?.refused).find((reason) => reason !== undefined),
      };
    });
    return { callers: reported, items };
  });
}

function accessTo(
  item: AccessItem,
  presentations: ReadonlyMap<string, Presentations>,
  { loaded }: PolicyFile,
): ReadonlyMap<string, Access> {
  const policy = loaded.policies.get(item.routeName)!;
  const rules = rulesFor(item.call, policy);
  const access = new Map<string, Access>();
  for (const [id, { openCallers }] of presentations) {
    const ways = simplify(openCallers.flatMap((open) => accessOf(open, item.call, policy.kind, rules)));
    if (ways.length > 0) access.set(id, ways);
  }
  return access;
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
