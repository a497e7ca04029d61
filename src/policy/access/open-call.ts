// Open calls: callers and calls of which not everything is known.
import type { Caller } from '../../authn/caller/principal.ts';
import type { Attributes } from '../attributes.ts';
import { createEvaluation } from '../condition/evaluation.ts';
import type { ListItem } from '../list-item.ts';
import type { Policy } from '../rule.ts';
import type { Clause } from './access-formula.ts';

/** A caller of whom not everything is known. */
export interface OpenCaller {
  /** With every scope that it may have; undefined where nobody authenticates. */
  readonly caller: Caller | undefined;
  /** Its scopes are those; else it may have fewer. */
  readonly hasFixedScopes: boolean;
  /** Claims that it may have with any value. */
  readonly openClaims: readonly string[];
  /** Fields of `principal` that conditions can not know, such as `principal.subject`. */
  readonly openFields: ReadonlySet<string>;
  /** The conditions of its credentials. */
  readonly clauses: readonly Clause[];
}

/** Calls that all rules treat alike but for the arguments: of an item of a list, or of a method and path. */
export interface OpenCall {
  /** Undefined on path routes, and for methods without a target. */
  readonly item: ListItem | undefined;
  /** Globs for names that the item does not stand for. */
  readonly exceptGlobs: readonly string[];
  readonly route: string;
  readonly http: Attributes['http'];
  readonly message: Attributes['message'];
}

/** An open call of an open caller, with the attributes that are known. */
export interface Residual {
  readonly open: OpenCaller;
  readonly call: OpenCall;
  readonly attributes: Attributes;
  readonly kind: Policy['kind'];
}

/** The attributes of an open call, as far as they are known. */
export function attributesOf({ caller }: OpenCaller, { route, http, message }: OpenCall): Attributes {
  return { route, http, message, caller, client: { address: '' }, evaluation: createEvaluation(), now: 0 };
}
