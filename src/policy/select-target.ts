// Selects by what an MCP message is about: `tools`, `resources`, `prompts` and `methods`.
import type { McpTargetKind } from '../mcp/message.ts';
import { compileGlob, compileGlobs, type Matcher } from './glob.ts';
import type { Effect, Selector } from './selector.ts';

export interface TargetSelectorConfig {
  readonly tools?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly prompts?: readonly string[] | undefined;
  readonly methods?: readonly string[] | undefined;
}

/** The methods through which a target of each kind is reached. */
const methodsTo: Readonly<Record<McpTargetKind, readonly string[]>> = {
  tool: ['tools/call'],
  prompt: ['prompts/get', 'completion/complete'],
  resource: ['resources/read', 'resources/subscribe', 'resources/unsubscribe', 'completion/complete'],
};

const kindOf = { tools: 'tool', resources: 'resource', prompts: 'prompt' } as const;

/**
 * Compiles the target: a message matches when its tool, resource or prompt matches the globs of that kind, and its method those of `methods`
 * where both are given. Throws an Error when a `methods` glob stands beside kinds that it can never be about.
 */
export function compileTarget(config: TargetSelectorConfig, effect: Effect): Selector | undefined {
  const byKind = new Map<McpTargetKind, Matcher>();
  for (const key of ['tools', 'resources', 'prompts'] as const) {
    const globs = config[key];
    if (globs !== undefined) byKind.set(kindOf[key], compileGlobs(globs));
  }
  const methods = config.methods === undefined ? undefined : compileGlobs(config.methods);
  if (byKind.size === 0) {
    if (methods === undefined) return undefined;
    return ({ message }) => message?.method !== undefined && methods(message.method);
  }
  checkMethods(config.methods ?? [], [...byKind.keys()]);
  return ({ message }) => {
    if (message?.target === undefined || message.method === undefined) return false;
    if (methods !== undefined && !methods(message.method)) return false;
    const { kind, name } = message.target;
    const matches = byKind.get(kind);
    if (matches === undefined) return false;
    return matches(name) || (effect === 'deny' && message.via !== undefined && matches(message.via));
  };
}

function checkMethods(globs: readonly string[], kinds: readonly McpTargetKind[]): void {
  const reachable = kinds.flatMap((kind) => methodsTo[kind]);
  for (const glob of globs) {
    if (reachable.some(compileGlob(glob))) continue;
    throw new Error(
      `methods: "${glob}" is no method of the tools, resources or prompts beside it; give it a rule of its own`,
    );
  }
}

/** The methods of the target kinds that a selector names. */
export function methodsOfKinds(config: TargetSelectorConfig): readonly string[] {
  const kinds = (['tools', 'resources', 'prompts'] as const).filter((key) => config[key] !== undefined);
  return kinds.flatMap((key) => methodsTo[kindOf[key]]);
}
