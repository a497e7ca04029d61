// CEL conditions: compiled when the file is loaded, bounded when they run, and an error in one is never an answer.

import {
  TypeError as CelTypeError,
  Environment,
  EvaluationError,
  ParseError,
  type ParseResult,
} from '@marcbachmann/cel-js';
import type { Facts } from './attributes.ts';
import { checkSyntax, hasLoop, namesIn } from './condition-syntax.ts';

export { conditionWarnings, unguardedFields } from './condition-lint.ts';

/** What a condition sees. `args` is read from the message when a condition first asks for it. */
export interface ConditionVariables {
  readonly principal: Readonly<Record<string, unknown>>;
  readonly args: unknown;
  readonly tool: string | undefined;
  readonly route: string;
  readonly request: { readonly method: string; readonly path: string; readonly address: string };
}

/** Yields what the expression says. Throws when it errors or its value is neither true nor false: the caller denies with `condition_error`. */
export interface Condition {
  (variables: ConditionVariables): boolean;
  /** The variables that stand in the expression. */
  readonly names: ReadonlySet<string>;
}

/** Lists and maps in the arguments may hold this many values together where a condition iterates; beyond, it errors. */
export const maxIteratedValues = 10_000;

/**
 * Compiles a condition. Throws an Error whose message can be shown beside the place in the file: syntax, unknown variables and functions,
 * wrong types, a result that is not a boolean, or a shape whose cost the caller of a tool could blow up.
 */
export function compileCondition(source: string): Condition {
  const expression = parseCondition(source);
  const iterates = hasLoop(expression.ast);
  const evaluate = (variables: ConditionVariables): boolean => {
    if (iterates && countValues(variables.args, 0) > maxIteratedValues)
      throw new Error('too many values to iterate over');
    const result: unknown = expression(variables);
    if (typeof result !== 'boolean') throw new Error('the condition is neither true nor false');
    return result;
  };
  return Object.assign(evaluate, { names: namesIn(expression.ast) });
}

/** What the facts of a request look like to a condition. */
export function conditionVariables(facts: Facts): ConditionVariables {
  const { caller, message } = facts;
  let args: unknown;
  return {
    principal: principalVariable(caller),
    get args() {
      args ??= message?.args() ?? {};
      return args;
    },
    tool: message?.target?.kind === 'tool' ? message.target.name : '',
    route: facts.route,
    request: requestVariable(facts),
  };
}

/** The same for a call that nobody has made yet: `args` is unbound, and so is `tool` where it may be any. An expression whose value hangs on them throws. */
export function unboundVariables(facts: Facts, tool: string | undefined): ConditionVariables {
  return {
    principal: principalVariable(facts.caller),
    args: undefined,
    tool,
    route: facts.route,
    request: requestVariable(facts),
  };
}

function requestVariable({ http, client }: Facts): ConditionVariables['request'] {
  return { method: http.method, path: http.path, address: client.address };
}

const anonymous = { kind: 'none', scopes: [], claims: {} };

function principalVariable(caller: Facts['caller']): Record<string, unknown> {
  if (caller === undefined) return anonymous;
  const { kind, issuer, subject, clientId, claims } = caller.principal;
  return { kind, issuer, subject, clientId, scopes: caller.scopes, claims };
}

/** Counts no further than it must. */
function countValues(value: unknown, counted: number): number {
  if (typeof value !== 'object' || value === null) return counted + 1;
  let total = counted + 1;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (total > maxIteratedValues) return total;
    total = countValues(inner, total);
  }
  return total;
}

const environment = new Environment({
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 1000, maxDepth: 32, maxListElements: 256, maxMapEntries: 64, maxCallArguments: 8 },
})
  .registerVariable('principal', 'map')
  .registerVariable('args', 'map')
  .registerVariable('tool', 'string')
  .registerVariable('route', 'string')
  .registerVariable('request', 'map');

/**
 * Parses and checks a condition. Throws an Error whose message can be shown beside the place in the file: syntax, unknown variables and functions,
 * wrong types, a result that is not a boolean, or a shape whose cost the caller of a tool could blow up.
 */
export function parseCondition(source: string): ParseResult {
  try {
    const expression = environment.parse(source);
    checkSyntax(expression.ast);
    const { valid, type, error } = expression.check();
    if (!valid) throw error;
    if (type !== 'bool' && type !== 'dyn') throw new Error(`the condition yields ${type}, not true or false`);
    return expression;
  } catch (error) {
    throw new Error(publicMessage(error), { cause: error });
  }
}

function publicMessage(error: unknown): string {
  if (error instanceof ParseError || error instanceof CelTypeError || error instanceof EvaluationError) {
    const at = error.range === undefined ? '' : ` at character ${error.range.start + 1}`;
    return `${error.summary}${at}`;
  }
  return error instanceof Error ? error.message : 'the condition cannot be read';
}
