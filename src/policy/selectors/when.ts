// The `when` of a rule: a CEL condition over the attributes of a call. It is tried last.
import type { Caller } from '../../authn/caller/principal.ts';
import { suggestion } from '../../config/schema/suggestion.ts';
import { condition } from '../../config/schema/values.ts';
import type { Attributes } from '../attributes.ts';
import { viewArguments, viewClaims } from '../condition/argument-view.ts';
import { type Condition, evaluateCondition } from '../condition/condition.ts';
import { conditionWarnings, unguardedFields } from '../condition/condition-lint.ts';
import { membersRead } from '../condition/condition-types.ts';
import type { ConditionVariables } from '../condition/evaluation.ts';
import type { Coverage } from '../glob.ts';
import type { ListItem } from '../list-item.ts';
import type { ConfigOf, RuleContext, SelectorType } from './selector-type.ts';

const keys = { when: condition.optional().describe('A CEL condition, evaluated last.') };

export const when = {
  keys,
  /** A rule has its condition beside its selectors. */
  compile: () => undefined,
  had: () => undefined,
  covers: (wider, narrower) => wider.when === undefined || wider.when === narrower.when,
} satisfies SelectorType<ConfigOf<typeof keys>>;

/** Undefined without a condition, and where it cannot be compiled, which is reported. Messages repeat parts of it. */
export function compileWhen(source: string | undefined, context: RuleContext): Condition | undefined {
  if (source === undefined) return undefined;
  const isHidden = context.isInterpolated(source);
  let compiled: Condition;
  try {
    compiled = context.compileCondition(source);
  } catch (error) {
    context.error([], isHidden ? 'the condition cannot be compiled' : (error as Error).message);
    return undefined;
  }
  const problems = claimProblems(compiled, context.route?.callers?.claims);
  for (const message of problems) context.error([], isHidden ? 'the condition reads an unknown claim' : message);
  for (const message of isHidden ? [] : lintCondition(compiled)) context.warn([], message);
  return isHidden ? { ...compiled, source: undefined } : compiled;
}

/** Throws where the arguments do not allow an answer: the call is denied with `condition_error`. */
export function holds(condition: Condition, attributes: Attributes): boolean {
  return evaluateCondition(condition, variablesOf(attributes), attributes.evaluation);
}

/** Only configured claims are kept. Undefined where these are not known. */
function claimProblems({ ast }: Condition, claims: readonly string[] | undefined): string[] {
  if (claims === undefined) return [];
  const unknown = membersRead(ast, 'principal.claims').filter((name) => !claims.includes(name));
  return unknown.map((name) => {
    const claim = JSON.stringify(name);
    return `no authenticator of this route has the claim ${claim} in its claims${suggestion(name, claims)}`;
  });
}

function lintCondition(compiled: Condition): string[] {
  const unguarded = unguardedFields(compiled).map(
    (field) => `${field} may be absent, and then the call is denied; guard it with has(${field})`,
  );
  return [...unguarded, ...conditionWarnings(compiled)];
}

/** Made once for a call, or a list item: most of its conditions cost less than the variables. */
function variablesOf(attributes: Attributes, item?: ListItem): ConditionVariables {
  const { evaluation } = attributes;
  const known = evaluation.variables;
  if (known !== undefined && known.attributes === attributes && known.item === item) return known.values;
  const values = item === undefined ? boundVariables(attributes) : unboundVariables(attributes, item);
  evaluation.variables = { attributes, item, values };
  return values;
}

function boundVariables(attributes: Attributes): ConditionVariables {
  const { message, evaluation } = attributes;
  return {
    ...callVariables(attributes),
    tool: message?.target?.kind === 'tool' ? message.target.name : '',
    get args() {
      evaluation.args ??= message?.argumentBytes === undefined ? {} : viewArguments(message.argumentBytes, evaluation);
      return evaluation.args;
    },
  };
}

/** Of a call that nobody has made yet: `args` is unbound, and so is `tool` where it may be any. An expression whose value hangs on them throws. */
function unboundVariables(attributes: Attributes, { kind, pattern }: ListItem): ConditionVariables {
  const tool = pattern.length === 1 ? pattern[0] : undefined;
  return { ...callVariables(attributes), tool: kind === 'tool' ? tool : '', args: undefined };
}

const anonymous = { kind: 'none', scopes: [], claims: {} };

function callVariables({ caller, route, http, client }: Attributes): Omit<ConditionVariables, 'args' | 'tool'> {
  const { method, path } = http;
  return {
    principal: caller ? principalOf(caller) : anonymous,
    route,
    request: { method, path, address: client.address },
  };
}

function principalOf({ principal, scopes }: Caller): ConditionVariables['principal'] {
  const { kind, issuer, subject, clientId, claims } = principal;
  let view: unknown;
  return {
    kind,
    issuer,
    subject,
    clientId,
    scopes,
    get claims() {
      view ??= viewClaims(claims);
      return view;
    },
  };
}

/** The share of a list item's calls for which a condition holds; `error` if it throws for all of them. */
export type ConditionCoverage = Coverage | 'error';

/**
 * An expression with `args` unbound is true or false whatever they are, or it throws. The error need not concern them: with arguments that decide
 * the expression, the failing part might not have been evaluated. So it is an error for all only when it does not read the unbound variables.
 */
export function coverageOf(condition: Condition, item: ListItem, attributes: Attributes): ConditionCoverage {
  const { names } = condition;
  const state = attributes.evaluation;
  const variables = variablesOf(attributes, item);
  const isSame = !names.has('args') && !names.has('tool');
  const known = isSame ? state.coverages?.get(condition) : undefined;
  if (known !== undefined) return known;
  let coverage: ConditionCoverage;
  try {
    coverage = evaluateCondition(condition, variables, state) ? 'all' : 'none';
  } catch {
    coverage = names.has('args') || (variables.tool === undefined && names.has('tool')) ? 'some' : 'error';
  }
  if (isSame) {
    state.coverages ??= new Map();
    state.coverages.set(condition, coverage);
  }
  return coverage;
}
