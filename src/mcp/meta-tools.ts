// Meta-tools: tools that call the tool that their arguments name, and tools that search the catalogue of tools.
import * as z from 'zod';
import { jsonPointer } from '../config/schema/values.ts';
import { bytesOf, isGiven, isObject, stringOf } from '../json/members.ts';
import { parsePointer } from '../json/pointer.ts';
import { scanJson } from '../json/scanner.ts';
import { compileShape, type Member, type Shape } from '../json/shape.ts';
import { invalidRpc } from './envelope.ts';
import type { McpMessage } from './message.ts';

const differentPlaces = 'name and arguments must be in different places';

interface CallMetaToolConfig {
  readonly name: string;
  readonly arguments: string;
}

/** JSON pointers (RFC 6901) into the arguments of the tool. */
const callMetaTool = z
  .strictObject({
    name: jsonPointer.describe('Where its arguments name the tool that it calls.'),
    arguments: jsonPointer.describe("Where its arguments hold that tool's own."),
  })
  .refine(hasShape, { error: differentPlaces, when: ({ issues }) => issues.length === 0 });

/**
 * JSON pointer into the payload of the tool's result. FastMCP wraps the array in `structuredContent` (`/result`) and writes the bare array into
 * the text: a payload that is an array is the array of tools, whatever the pointer.
 */
const searchMetaTool = z.strictObject({
  results: z
    .union([z.literal(''), jsonPointer])
    .describe('Where the payload of its result holds the list of tools; "" is the payload itself.'),
});

export const metaTool = z.union([callMetaTool, searchMetaTool]);

export type SearchMetaTool = Readonly<z.output<typeof searchMetaTool>>;
export type MetaToolConfig = z.output<typeof metaTool>;

/** A meta-tool that calls other tools. */
export interface CallMetaTool extends CallMetaToolConfig {
  /** All that its arguments may hold: the way to both places, and nothing beside it. */
  readonly shape: Shape;
}

/** By the exact name of the meta-tool. */
export interface MetaTools {
  readonly calls: ReadonlyMap<string, CallMetaTool>;
  /** The payload is `structuredContent`, and the JSON inside each text block of the content. */
  readonly searches: ReadonlyMap<string, SearchMetaTool>;
}

/** No tool is taken for another one. */
export const noMetaTools: MetaTools = { calls: new Map(), searches: new Map() };

/** Sorts meta-tools by what they do. Throws an Error with a public message when the two places of a call lie within each other. */
export function compileMetaTools(config: Readonly<Record<string, MetaToolConfig>>): MetaTools {
  const calls = new Map<string, CallMetaTool>();
  const searches = new Map<string, SearchMetaTool>();
  for (const [name, tool] of Object.entries(config)) {
    if ('results' in tool) searches.set(name, tool);
    else calls.set(name, { ...tool, shape: shapeOf(tool) });
  }
  return { calls, searches };
}

const nameSlot = 0;
const argumentsSlot = 1;

function hasShape(config: CallMetaToolConfig): boolean {
  try {
    shapeOf(config);
    return true;
  } catch {
    return false;
  }
}

function shapeOf(config: CallMetaToolConfig): Shape {
  return enclose([
    { path: parsePointer(config.name), slot: nameSlot },
    { path: parsePointer(config.arguments), slot: argumentsSlot },
  ]);
}

interface Place {
  readonly path: readonly string[];
  readonly slot: number;
}

/** The places as a shape; what lies on the way to a place has a slot after theirs. */
function enclose(places: readonly Place[], waySlot = argumentsSlot + 1): Shape {
  const members = new Map<string, Member>();
  for (const [key, within] of Map.groupBy(places, ({ path }) => path[0]!)) {
    const ends = within.filter(({ path }) => path.length === 1);
    if (ends.length > 0 && within.length > 1) throw new Error(differentPlaces);
    const inner = within.map(({ path, slot }) => ({ path: path.slice(1), slot }));
    members.set(key, ends[0] ?? { slot: waySlot, shape: enclose(inner, waySlot) });
  }
  return compileShape(members, true);
}

/**
 * A call of a meta-tool as the call that it stands for: `target`, `args` and `argumentBytes` are the inner tool's, `via` is the meta-tool. Any other
 * message comes back as it is. Throws GatewayError `invalid_jsonrpc` when the arguments are not exactly a name and, possibly, arguments at their
 * places, or when the inner tool is a meta-tool itself.
 */
export function lookThrough(message: McpMessage, metaTools: MetaTools): McpMessage {
  const via = message.method === 'tools/call' ? message.target?.name : undefined;
  const tool = via === undefined ? undefined : metaTools.calls.get(via);
  if (via === undefined || tool === undefined) return message;
  const bytes = message.argumentBytes ?? Buffer.from('{}');
  const given = { bytes, spans: scanJson(bytes, tool.shape, argumentsSlot + 2) };
  const name = stringOf(given, nameSlot);
  if (name === undefined)
    throw invalidRpc(`\`${via}\` needs the name of a tool, a string, at ${tool.name}.`, 'inner_tool');
  if (metaTools.calls.has(name) || metaTools.searches.has(name)) {
    throw invalidRpc(`\`${via}\` cannot call \`${name}\`: call it directly.`, 'nested_meta_tool');
  }
  if (isGiven(given, argumentsSlot) && !isObject(given, argumentsSlot)) {
    throw invalidRpc(
      `\`${via}\` takes the arguments of the tool as an object at ${tool.arguments}.`,
      'inner_arguments',
    );
  }
  const inner = isGiven(given, argumentsSlot) ? bytesOf(given, argumentsSlot) : undefined;
  return { ...message, target: { kind: 'tool', name }, via, argumentBytes: inner };
}
