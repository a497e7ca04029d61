// Rules of a route as they are written: its own, those of its preset, and the one that a short form stands for.
import type { PolicyConfig } from './compile.ts';
import { rulesOf } from './presets.ts';
import type { RuleConfig } from './rule.ts';

/** A rule by the name that decisions give it. */
export interface WrittenRule {
  readonly name: string;
  readonly config: RuleConfig;
  /** Its place in the route's own list; undefined elsewhere. */
  readonly index: number | undefined;
}

/** In the order in which they are read, as `compilePolicy` compiles them. */
export function writtenRules({ authenticate, mcp, rules, scopes }: PolicyConfig): readonly WrittenRule[] {
  const own = mcp?.rules ?? rules;
  if (own === undefined) {
    const name = scopes !== undefined ? 'scopes' : authenticate === 'none' ? 'anyone' : 'authenticated';
    const require = scopes && { require: { scopes: [...scopes] } };
    return [{ name, config: { allow: {}, ...require }, index: undefined }];
  }
  const all: readonly RuleConfig[] = mcp === undefined ? own : rulesOf(mcp);
  return all.map((config, position) => {
    const index = position < own.length ? position : undefined;
    return { name: config.name ?? `rules[${position}]`, config, index };
  });
}
