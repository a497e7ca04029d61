// The target selector of MCP rules: `tools`, `resources` and `prompts` by their names, and `methods`.
import { globs } from '../../config/schema/values.ts';
import type { McpTargetKind } from '../../mcp/message.ts';
import { type CoverageOf, compileCoverage, compileGlob, compileGlobs, globCovers, type Matcher } from '../glob.ts';
import { exampleOf, useOf } from '../list-item.ts';
import { canonicalUri, isPlain } from '../plain-name.ts';
import { type ConfigOf, type Effect, listCovers, type Matching, type SelectorType } from './selector-type.ts';

const keys = {
  tools: globs.optional().describe('Tool names; * is any run of characters.'),
  resources: globs.optional().describe('Resource URIs; * is any run of characters.'),
  prompts: globs.optional().describe('Prompt names; * is any run of characters.'),
  methods: globs.optional().describe('Other MCP methods; * is any run of characters.'),
};

type Target = ConfigOf<typeof keys>;

/**
 * A message matches when its tool, resource or prompt matches the globs of that kind, and its method those of `methods` where both are given.
 */
export const target = {
  keys,
  check(config, { callMetaTools }, { effect, error, warn, show }) {
    if (effect === 'deny') return;
    const { tools, resources, prompts, methods } = config;
    // An allow without a target would open every method there is and will be.
    if ((tools ?? resources ?? prompts ?? methods) === undefined) {
      error([], 'needs a target: tools, resources, prompts or methods');
    }
    for (const kind of ['tools', 'prompts'] as const) {
      config[kind]?.forEach((glob, index) => {
        if (!glob.includes('*') || isPlainGlob(kind, glob)) return;
        const message = `can never match: ${show(glob)} has characters that MCP does not have in names; write such names out`;
        warn([kind, index], message);
      });
    }
    tools?.forEach((tool, index) => {
      if (!callMetaTools.includes(tool)) return;
      const message = `can never match: ${show(tool)} is looked through; name the tools that it may call`;
      warn(['tools', index], message);
    });
  },
  compile(config, { effect }) {
    const methods = config.methods && compileMethods(config.methods, effect);
    const kinds = kindsIn(config);
    if (kinds.length === 0) {
      return methods && { ...methodsAlone(methods, effect), reaches: [{ method: config.methods! }] };
    }
    checkMethods(config);
    const byKind = Object.fromEntries(kinds.map((key) => [kindOf[key], compileNames(key, config[key]!, effect)]));
    const reach = Object.fromEntries(Object.entries(byKind).map(([kind, { globs }]) => [kind, globs]));
    return { ...namedTargets(byKind, methods, effect), reaches: [reach] };
  },
  had({ message }) {
    if (message?.method === undefined) return undefined;
    const { method, target, via } = message;
    return { method, ...(target && { [target.kind]: target.name }), ...(via !== undefined && { via }) };
  },
  covers(wider, narrower) {
    const [widerKinds, narrowerKinds] = [kindsIn(wider), kindsIn(narrower)];
    if (widerKinds.length > 0) {
      if (narrowerKinds.length === 0) return false;
      const nameCovers = (kind: Kind) => (one: string, other: string) =>
        one === other || (isPlainGlob(kind, other) && globCovers(one, other));
      const isWithin = (kind: Kind) =>
        wider[kind] !== undefined && listCovers(wider[kind], narrower[kind], nameCovers(kind));
      if (!narrowerKinds.every(isWithin)) return false;
    }
    // The resources of a subscription are not allowed by a method's name alone.
    if (wider.methods && widerKinds.length === 0 && narrower.resources && reachesSubscriptions(narrower)) return false;
    const methods = narrower.methods ?? (narrowerKinds.length > 0 ? methodsReaching(narrowerKinds) : undefined);
    return listCovers(wider.methods, methods, globCovers);
  },
} satisfies SelectorType<Target>;

type Kind = keyof typeof kindOf;

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

interface Names {
  readonly globs: readonly string[];
  readonly matches: Matcher;
  readonly covers: CoverageOf;
  /** Reports whether the rule applies to a name that matches: no glob allows a name that is not plain, and nothing allows such a URI. */
  appliesTo(kind: McpTargetKind, name: string): boolean;
}

function compileNames(key: Kind, names: readonly string[], effect: Effect): Names {
  const literals = new Set(names);
  return {
    ...(key === 'resources'
      ? compileUris(names, effect)
      : { globs: names, matches: compileGlobs(names), covers: compileCoverage(names) }),
    appliesTo: (kind, name) =>
      effect === 'deny' || isPlain(kind, name) || (kind !== 'resource' && literals.has(name) && !name.includes('*')),
  };
}

/** Globs of URIs match a URI as it is, and its canonical form. */
function compileUris(names: readonly string[], effect: Effect): Omit<Names, 'appliesTo'> {
  const canonical = (uri: string): string => canonicalUri(uri, effect);
  // An empty path becomes `/`, but a last `*` is the path too.
  const open = (glob: string): string => (glob.endsWith('*') ? canonical(glob).replace(/\*\/$/, '*') : canonical(glob));
  const globs = [...new Set([...names, ...names.map(open)])];
  const [matches, covers] = [compileGlobs(globs), compileCoverage(globs)];
  return {
    globs,
    matches: (uri) => matches(uri) || matches(canonical(uri)),
    covers(pattern, except) {
      const covered = covers(pattern, except);
      if (covered === 'all') return covered;
      const written = pattern.join('*');
      const whole = canonical(written);
      if (whole === written) return covered;
      const other = covers(pattern.length === 1 ? [whole] : whole.split('*'), except);
      return other === 'none' ? covered : other;
    },
  };
}

function compileMethods(globs: readonly string[], effect: Effect): Matcher {
  const matches = compileGlobs(globs);
  return effect === 'deny'
    ? matches
    : (method) => matches(method) && (isPlain('method', method) || globs.includes(method));
}

function namedTargets(
  byKind: Readonly<Partial<Record<McpTargetKind, Names>>>,
  methods: Matcher | undefined,
  effect: Effect,
): Matching {
  const byVia = ({ matches }: Names, via: string | undefined): boolean =>
    effect === 'deny' && via !== undefined && matches(via);
  return {
    matches({ message }) {
      if (message?.target === undefined || message.method === undefined) return false;
      if (methods !== undefined && !methods(message.method)) return false;
      const { kind, name } = message.target;
      const names = byKind[kind];
      if (names === undefined) return false;
      return (names.matches(name) && names.appliesTo(kind, name)) || byVia(names, message.via);
    },
    coverageOf(item) {
      const { kind, pattern, except, via } = item;
      if (methods !== undefined && !methods(useOf[kind])) return 'none';
      const names = byKind[kind];
      if (names === undefined) return 'none';
      if (byVia(names, via)) return 'all';
      return names.appliesTo(kind, exampleOf(item)) ? names.covers(pattern, except) : 'none';
    },
  };
}

/** A resource that `subscriptions/listen` subscribes to is not allowed by the name of that method. */
function methodsAlone(methods: Matcher, effect: Effect): Matching {
  return {
    matches({ message }) {
      if (message?.method === undefined || !methods(message.method)) return false;
      const { method, target } = message;
      if (effect === 'deny' || target === undefined) return true;
      return method !== 'subscriptions/listen' && isPlain(target.kind, target.name);
    },
    coverageOf: (item) =>
      methods(useOf[item.kind]) && (effect === 'deny' || isPlain(item.kind, exampleOf(item))) ? 'all' : 'none',
  };
}

/** Throws when a glob of `methods` stands beside kinds that it can never be about. */
function checkMethods(config: Target): void {
  const reachable = methodsReaching(kindsIn(config));
  for (const glob of config.methods ?? []) {
    if (reachable.some(compileGlob(glob))) continue;
    throw new Error(
      `methods: "${glob}" is no method of the tools, resources or prompts beside it; give it a rule of its own`,
    );
  }
}

/** Reports whether some plain name can match. */
function isPlainGlob(kind: Kind, glob: string): boolean {
  return isPlain(kindOf[kind], glob.replaceAll('*', 'x'));
}

function kindsIn(config: Target): readonly Kind[] {
  return (['tools', 'resources', 'prompts'] as const).filter((kind) => config[kind] !== undefined);
}

function methodsReaching(kinds: readonly Kind[]): readonly string[] {
  return kinds.flatMap((kind) => methodsTo[kindOf[kind]]);
}

function reachesSubscriptions({ methods }: Target): boolean {
  return methods === undefined || methods.some((glob) => globCovers(glob, 'subscriptions/listen'));
}
