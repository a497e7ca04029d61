// Selects by what an MCP message is about: `tools`, `resources`, `prompts` and `methods`.
import type { McpTargetKind } from '../../mcp/message.ts';
import type { Effect, Selector } from '../attributes.ts';
import { type Coverage, type CoverageOf, compileCoverage, compileGlob, compileGlobs, type Matcher } from '../glob.ts';
import type { Item } from '../list-item.ts';

export interface TargetSelectorConfig {
  readonly tools?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly prompts?: readonly string[] | undefined;
  readonly methods?: readonly string[] | undefined;
}

export interface TargetSelector {
  readonly matches: Selector;
  /** Of the calls that an item of a list stands for, how many match. */
  readonly covers: (item: Item) => Coverage;
}

/** The methods through which a target of each kind is reached. */
const methodsTo: Readonly<Record<McpTargetKind, readonly string[]>> = {
  tool: ['tools/call'],
  prompt: ['prompts/get', 'completion/complete'],
  resource: [
    'resources/read',
    'resources/subscribe',
    'resources/unsubscribe',
    'subscriptions/listen',
    'completion/complete',
  ],
};

const kindOf = { tools: 'tool', resources: 'resource', prompts: 'prompt' } as const;

/** What makes an item of a list useful. */
const useOf: Readonly<Record<McpTargetKind, string>> = {
  tool: 'tools/call',
  prompt: 'prompts/get',
  resource: 'resources/read',
};

interface Names {
  readonly matches: Matcher;
  readonly covers: CoverageOf;
}

/**
 * Compiles the target: a message matches when its tool, resource or prompt matches the globs of that kind, and its method those of `methods`
 * where both are given. Throws an Error when a `methods` glob stands beside kinds that it can never be about.
 */
export function compileTarget(config: TargetSelectorConfig, effect: Effect): TargetSelector | undefined {
  const byKind = new Map<McpTargetKind, Names>();
  for (const key of ['tools', 'resources', 'prompts'] as const) {
    const globs = config[key];
    if (globs !== undefined) byKind.set(kindOf[key], { matches: compileGlobs(globs), covers: compileCoverage(globs) });
  }
  const methods = config.methods === undefined ? undefined : compileGlobs(config.methods);
  if (byKind.size === 0) return methods && methodsAlone(methods, effect);
  checkMethods(config.methods ?? [], [...byKind.keys()]);
  const byVia = ({ matches }: Names, via: string | undefined): boolean =>
    effect === 'deny' && via !== undefined && matches(via);
  return {
    matches({ message }) {
      if (message?.target === undefined || message.method === undefined) return false;
      if (methods !== undefined && !methods(message.method)) return false;
      const { kind, name } = message.target;
      const names = byKind.get(kind);
      return names !== undefined && (names.matches(name) || byVia(names, message.via));
    },
    covers({ kind, pattern, except, via }) {
      if (methods !== undefined && !methods(useOf[kind])) return 'none';
      const names = byKind.get(kind);
      if (names === undefined) return 'none';
      return byVia(names, via) ? 'all' : names.covers(pattern, except);
    },
  };
}

/** A resource that `subscriptions/listen` subscribes to is not allowed by the name of that method. */
function methodsAlone(methods: Matcher, effect: Effect): TargetSelector {
  return {
    matches({ message }) {
      if (message?.method === undefined || !methods(message.method)) return false;
      return effect === 'deny' || message.subscribed === undefined || message.target === undefined;
    },
    covers: ({ kind }) => (methods(useOf[kind]) ? 'all' : 'none'),
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

/** Dot segments, encoded `.` `/` `\` `%` and controls, and controls themselves. Each expression walks the text once. */
const dotSegment = /(?:^|[/\\:])\.{1,2}(?:$|[/\\?#])/;
const encodedDelimiter = /%(?:2e|2f|5c|25|[01][0-9a-f]|7f)/i;
const control = /\p{Cc}/u;

/** Reports whether a URI could name something else than it appears to. */
export function isDangerousUri(uri: string): boolean {
  return dotSegment.test(uri) || encodedDelimiter.test(uri) || control.test(uri);
}
