// Items of lists: a tool, a prompt or a resource that could be called, or all those that one entry stands for.
import type { McpTargetKind } from '../mcp/message.ts';

/** An item of a list, as a set of names. */
export interface ListItem {
  readonly kind: McpTargetKind;
  /** Literal parts of the name, with any run of characters between each two of them; one part is the name itself. */
  readonly pattern: readonly string[];
  /** Names that the pattern stands for and the item does not. */
  readonly except: ReadonlySet<string>;
  /** The meta-tool it would be called through. */
  readonly via: string | undefined;
}

/** The MCP method that uses an item of a list. */
export const useOf: Readonly<Record<McpTargetKind, string>> = {
  tool: 'tools/call',
  prompt: 'prompts/get',
  resource: 'resources/read',
};

const none: ReadonlySet<string> = new Set();

/** The item of a single name. */
export function itemOf(kind: McpTargetKind, name: string): ListItem {
  return { kind, pattern: [name], except: none, via: undefined };
}

/** Whatever could be called through a meta-tool: not a meta-tool again. */
export function anyToolThrough(via: string, metaTools: ReadonlySet<string> = none): ListItem {
  return { kind: 'tool', pattern: ['', ''], except: metaTools, via };
}

/**
 * The resources that a URI template (RFC 6570) stands for, every expression taken for any run of characters, an empty one included.
 * Undefined when its braces do not match: nothing can be read with it.
 */
export function templateItem(template: string): ListItem | undefined {
  const pattern = template.split(/\{[^{}]*\}/);
  if (pattern.some((part) => part.includes('{') || part.includes('}'))) return undefined;
  return { kind: 'resource', pattern, except: none, via: undefined };
}

/** One of the names that the pattern stands for. The text between its literal parts is harmless, also as a port: only those parts can have it refused. */
export function exampleOf({ pattern }: ListItem): string {
  return pattern.reduce((text, part) => `${text}${text.endsWith(':') ? 1 : 'x'}${part}`);
}
