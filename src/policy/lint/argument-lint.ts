// Lint for arguments in MCP rules: conditions held against the input schemas of the tools that a rule names.
import type { Definition } from '../../mcp/catalog/definition.ts';
import { argumentProblems } from '../condition/argument-types.ts';
import type { Condition } from '../condition/condition.ts';
import { effects, type McpRuleConfig } from '../rule.ts';
import type { RuleContext } from '../selectors/selector-type.ts';

/** Reports conditions of rules about nothing but tools whose schemas are known. A glob may be about further ones. */
export function lintArguments(
  rules: readonly McpRuleConfig[],
  inputSchemas: ReadonlyMap<string, Definition>,
  context: RuleContext,
): void {
  rules.forEach((rule, index) => {
    for (const effect of effects) {
      const { tools, resources, prompts, when } = rule[effect] ?? {};
      const schemas = tools?.map((tool) => inputSchemas.get(tool)) ?? [];
      if (schemas.length === 0 || !schemas.every((schema) => schema !== undefined)) continue;
      if (resources !== undefined || prompts !== undefined) continue;
      lintCondition(when, schemas, [index, effect, 'when'], context);
      lintCondition(rule.require?.when, schemas, [index, 'require', 'when'], context);
    }
  });
}

function lintCondition(
  source: string | undefined,
  schemas: readonly Definition[],
  path: readonly (string | number)[],
  { compileCondition, error, isInterpolated, warn }: RuleContext,
): void {
  let condition: Condition;
  try {
    if (source === undefined) return;
    condition = compileCondition(source);
  } catch {
    // Reported where the condition is compiled.
    return;
  }
  const { errors, warnings } = argumentProblems(condition.ast, schemas);
  const isHidden = isInterpolated(source);
  for (const message of errors)
    error(path, isHidden ? 'the condition does not fit the recorded input schemas' : message);
  for (const message of isHidden ? [] : warnings) warn(path, message);
}
