// Tables of the selector types, in the order in which they are tried: the cheapest first, the condition last.
import * as z from 'zod';
import { claims } from './claims.ts';
import { clients } from './clients.ts';
import { httpMethods, paths } from './http.ts';
import { networks } from './networks.ts';
import type { SelectorType } from './selector-type.ts';
import { target } from './target.ts';
import { when } from './when.ts';

type SelectorTable = Readonly<Record<string, SelectorType<never>>>;

/** Selectors of the caller. Of the rules that the index found by all else they rule out the most. */
const ofCallers = { clients, claims } satisfies SelectorTable;
/** Selectors of both kinds of routes. A new type is a file in this folder and a row here, or in one of the tables beside it. */
const shared = { networks, when } satisfies SelectorTable;

const ofMcpRoutes = { ...ofCallers, target, ...shared } satisfies SelectorTable;
const ofPathRoutes = { ...ofCallers, httpMethods, paths, ...shared } satisfies SelectorTable;

export const mcpSelectors = z.strictObject(keysOf(ofMcpRoutes));
export const pathSelectors = z.strictObject(keysOf(ofPathRoutes));

export const mcpSelectorTypes: readonly SelectorType<z.output<typeof mcpSelectors>>[] = Object.values(ofMcpRoutes);
export const pathSelectorTypes: readonly SelectorType<z.output<typeof pathSelectors>>[] = Object.values(ofPathRoutes);

/** The intersection of the members of a union. */
type Intersection<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer I) => void ? I : never;

/** The keys of all types of a table. */
function keysOf<T extends SelectorTable>(types: T): Intersection<T[keyof T]['keys']> {
  return Object.assign({}, ...Object.values(types).map(({ keys }) => keys));
}
