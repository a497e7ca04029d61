// Open parts of selectors and conditions: the literals that remain of them for an open call.

import type { Attributes } from '../attributes.ts';
import type { Condition } from '../condition/condition.ts';
import { type Coverage, type CoverageOf, compileCoverage } from '../glob.ts';
import type { ListItem } from '../list-item.ts';
import type { Policy } from '../rule.ts';
import type { Selector } from '../selectors/selector-type.ts';
import { coverageOf, holds } from '../selectors/when.ts';
import { errs, isFalse, isTrue, type Literal } from './access-formula.ts';
import { claimVariable, conditionVariable, namesVariable, networkVariable } from './access-variables.ts';
import { fieldsRead, readCondition } from './condition-words.ts';
import type { OpenCall, OpenCaller, Residual } from './open-call.ts';

/** The open part of a selector; undefined where it matches no such call. */
export function literalsOf(selector: Selector, { open, call, attributes, kind }: Residual): Literal[] | undefined {
  if (looksAtCall(selector, kind)) {
    const covered = coverage(selector, call, attributes);
    if (covered === 'none') return undefined;
    return covered === 'all' ? [] : [{ variable: namesVariable(selector), mask: isTrue }];
  }
  if (selector.wanted.claims !== undefined) return claimLiterals(selector, open, attributes);
  if (selector.wanted.networks !== undefined)
    return [{ variable: networkVariable(networksOf(selector), selector.wanted.networks as string[]), mask: isTrue }];
  return selector.matches(attributes) ? [] : undefined;
}

/** The selectors of the request itself. */
export function looksAtCall({ wanted }: Selector, kind: Policy['kind']): boolean {
  const keys = kind === 'mcp' ? ['tools', 'resources', 'prompts', 'methods'] : ['methods', 'paths'];
  return keys.some((key) => wanted[key] !== undefined);
}

/** The share of the call that a selector of the request matches. */
export function coverage(selector: Selector, { item, exceptGlobs }: OpenCall, attributes: Attributes): Coverage {
  if (item === undefined) return selector.matches(attributes) ? 'all' : 'none';
  const covered = selector.coverageOf(item, attributes);
  if (covered !== 'some' || item.kind === 'resource') return covered;
  const others = globsOf(selector, item).filter((glob) => !exceptGlobs.includes(glob));
  const left: CoverageOf = compileCoverage(others);
  return left(item.pattern, item.except) === 'none' ? 'none' : 'some';
}

function globsOf({ reaches = [] }: Selector, { kind }: ListItem): readonly string[] {
  return reaches.flatMap((reach) => reach[kind] ?? []);
}

/** Each claim that may have any value is a condition; with those the selector must match. */
function claimLiterals(selector: Selector, { openClaims }: OpenCaller, attributes: Attributes): Literal[] | undefined {
  const { caller } = attributes;
  if (caller === undefined) return undefined;
  const accepted = acceptedClaims(selector).filter(({ claim }) => openClaims.includes(claim));
  const claims = {
    ...caller.principal.claims,
    ...Object.fromEntries(accepted.map(({ claim, values }) => [claim, values[0]])),
  };
  const best = { ...attributes, caller: { ...caller, principal: { ...caller.principal, claims } } };
  if (!selector.matches(best)) return undefined;
  const shown = selector.wanted.claims as Readonly<Record<string, readonly unknown[]>>;
  return accepted.map(({ claim, values }) => ({
    variable: claimVariable(claim, values, shown[claim] ?? []),
    mask: isTrue,
  }));
}

/** The values of each claim that a selector looks at. */
export function acceptedClaims({
  reaches = [],
}: Selector): { readonly claim: string; readonly values: readonly unknown[] }[] {
  return reaches.flatMap((reach) =>
    Object.entries(reach).flatMap(([subject, texts = []]) =>
      subject.startsWith('claim ') ? [{ claim: subject.slice('claim '.length), values: texts.map(claimOfText) }] : [],
    ),
  );
}

/** The value behind a text of `textOfClaim`. */
function claimOfText(text: string): unknown {
  const [type, value] = [text.slice(0, text.indexOf(' ')), text.slice(text.indexOf(' ') + 1)];
  if (type === 'number') return Number(value);
  return type === 'boolean' ? value === 'true' : value;
}

function networksOf({ reaches = [] }: Selector): readonly string[] {
  return reaches.flatMap(({ network = [] }) => network.map((glob) => glob.slice(0, -1)));
}

/** The value of a condition for all of the calls, or the condition that remains. */
export function conditionOf(
  condition: Condition,
  { open, call, attributes }: Residual,
): Literal | typeof isTrue | typeof isFalse | typeof errs {
  const fields = fieldsRead(condition);
  const isOpen = (field: string): boolean =>
    open.openFields.has(field) || openOfCall.has(field) || (field === 'principal' && open.openFields.size > 0);
  if (![...fields].some(isOpen)) {
    const known = knownValueOf(condition, call, attributes);
    if (known !== undefined) return known;
  }
  const { item } = call;
  const tool = item?.kind === 'tool' && item.pattern.length === 1 ? item.pattern[0] : undefined;
  const read = readCondition(condition, tool, condition.source !== undefined);
  return { variable: conditionVariable(read), mask: read.isNegated ? isFalse : isTrue };
}

const openOfCall: ReadonlySet<string> = new Set(['request', 'request.path', 'request.address']);

/** Undefined where it depends on the arguments or on the name of the tool. */
function knownValueOf(
  condition: Condition,
  { item }: OpenCall,
  attributes: Attributes,
): typeof isTrue | typeof isFalse | typeof errs | undefined {
  if (item !== undefined) return valueOfCoverage[coverageOf(condition, item, attributes)];
  if (attributes.message !== undefined && condition.names.has('args')) return undefined;
  try {
    return holds(condition, attributes) ? isTrue : isFalse;
  } catch {
    return errs;
  }
}

const valueOfCoverage = { all: isTrue, none: isFalse, error: errs, some: undefined } as const;
