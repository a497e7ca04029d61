// Contract of a selector type: its keys below `allow` and `deny`, its check, its compilation, and what it covers.
import type { z } from 'zod';
import type { Path, Reporter } from '../../config/schema/reporter.ts';
import type { Definition } from '../../mcp/catalog/definition.ts';
import type { McpTargetKind } from '../../mcp/message.ts';
import type { ListMember } from '../../mcp/methods.ts';
import type { Attributes } from '../attributes.ts';
import type { CompileCondition } from '../condition/condition.ts';
import type { Coverage } from '../glob.ts';
import type { ListItem } from '../list-item.ts';

/** Denials look at the meta-tool a call came through as well as at what it reaches; allowances at what it reaches only. */
export type Effect = 'allow' | 'deny';

/** A compiled selector of a rule. All selectors of a rule must match. */
export interface Selector extends Matching {
  /** Its keys as configured, for explanations. A value from the environment or a file is not shown. */
  readonly wanted: Readonly<Record<string, unknown>>;
  /** The part of a call that it looks at, for explanations; undefined where the call has none. */
  readonly had: (attributes: Attributes) => unknown;
}

/** The calls and list items that a selector matches. */
export interface Matching {
  matches(attributes: Attributes): boolean;
  coverageOf(item: ListItem, attributes: Attributes): Coverage;
  /** Each alone finds all calls and list items that may match. None where any may. */
  readonly reaches?: readonly Reach[];
}

/**
 * The texts of a call that rules are found by: the client's id, the values of a claim, the bits of the client's address, the MCP method, the name of
 * the target by kind, the HTTP method and the path.
 */
export type Subject = 'client' | ClaimSubject | 'network' | 'method' | McpTargetKind | 'httpMethod' | 'path';
export type ClaimSubject = `claim ${string}`;

/** Globs by their subject. The selector matches no call and no list item whose subjects match none of them. */
export type Reach = Readonly<Partial<Record<Subject, readonly string[]>>>;

/** A selector that looks at nothing that a list item leaves open. */
export function selectorOf(matches: (attributes: Attributes) => boolean, reaches: readonly Reach[] = []): Matching {
  return {
    matches,
    coverageOf: (_item, attributes) => (matches(attributes) ? 'all' : 'none'),
    reaches,
  };
}

/** One row of the tables of selectors. */
export interface SelectorType<C> {
  /** Each optional. */
  readonly keys: z.ZodRawShape;
  /** Reports what can never match on the route, or be enforced there. */
  check?(config: C, route: RouteContext, context: SelectorContext): void;
  /** Undefined where none of the keys is given. Reports, or throws an Error with a public message, for a configuration that does not compile. */
  compile(config: C, context: SelectorContext): Matching | undefined;
  /** The part of a call that the selector looks at. */
  had(attributes: Attributes, config: C): unknown;
  /** Reports whether it is certain that `wider` matches every call that `narrower` matches. */
  covers(wider: C, narrower: C): boolean;
}

/** The configuration that keys of a schema allow. */
export type ConfigOf<K extends z.ZodRawShape> = z.output<z.ZodObject<K>>;

/** Dependencies of the compilation of a policy. Reports take paths below the compiled part. */
export interface PolicyContext extends Reporter {
  /** True for a value with a part from the environment or a file, which no message may repeat. */
  isInterpolated(value: string): boolean;
  /** The names of all configured authenticators. */
  readonly authenticators: readonly string[];
  /** Undefined where the rules are compiled and not checked. */
  readonly route?: RouteContext | undefined;
}

/** The same, for the rules of one policy. */
export interface RuleContext extends PolicyContext {
  readonly compileCondition: CompileCondition;
  /** Of the rules compiled so far, by effect and configuration. Rules that differ in nothing else share them. */
  readonly selectors: Map<string, readonly Selector[]>;
}

/** The rule around a selector. */
export interface SelectorContext extends RuleContext {
  readonly effect: Effect;
}

/** The context of what stands below a path. */
export function contextBelow<C extends Reporter>(context: C, ...path: Path): C {
  return {
    ...context,
    error: (rest, message) => context.error([...path, ...rest], message),
    warn: (rest, message) => context.warn([...path, ...rest], message),
  };
}

/** The route that rules are checked against. */
export interface RouteContext {
  /** Where it stands in the file, such as `routes[0]`. */
  readonly place: string;
  /** A path pattern. */
  readonly path: string;
  readonly methods?: readonly string[] | undefined;
  /** Undefined with `authenticate: none`. */
  readonly callers: AcceptedCallers | undefined;
  /** The tools that call other tools. */
  readonly callMetaTools: readonly string[];
  /** The names that the MCP server has, as far as they are known. */
  readonly known: Readonly<Record<ListMember, readonly string[]>> | undefined;
  /** They are those of a recorded catalogue, and so all that there are. */
  readonly isRecorded: boolean;
  /** The JSON Schema of the arguments of each tool for which one was recorded. */
  readonly inputSchemas: ReadonlyMap<string, Definition>;
}

/** The callers that a route accepts. */
export interface AcceptedCallers {
  /** The authenticators that the route names. */
  readonly authenticators: readonly string[];
  /** Those whose principal may act, and so name the client. */
  readonly acting: readonly string[];
  /** The claims that they keep; undefined where one of them could not be read. */
  readonly claims: readonly string[] | undefined;
  /** The clients of authenticators that name all of theirs. */
  readonly clients: ReadonlyMap<string, readonly string[]>;
  /** The callers in words, such as `every token that "corp" accepts`. */
  readonly everyone: string;
}

/** Reports whether each item of the narrower list is covered by one of the wider. No list stands for everything. */
export function listCovers<T>(
  wider: readonly T[] | undefined,
  narrower: readonly T[] | undefined,
  itemCovers: (wider: T, narrower: T) => boolean = Object.is,
): boolean {
  if (wider === undefined) return true;
  return narrower?.every((item) => wider.some((other) => itemCovers(other, item))) ?? false;
}
