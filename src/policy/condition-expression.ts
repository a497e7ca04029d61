// The CEL environment of conditions: the variables, the limits, and what a condition that cannot be used is told.
import {
  TypeError as CelTypeError,
  Environment,
  EvaluationError,
  ParseError,
  type ParseResult,
} from '@marcbachmann/cel-js';
import { checkSyntax } from './condition-syntax.ts';

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
