// Tool search, which Superset turns on by default: one tool finds tools, another calls them.
import * as z from 'zod';
import { type Tool, ToolFailure } from './tool.ts';

const maxResults = 5;
const searchArguments = z.strictObject({ query: z.string().describe('What you want to do, in plain words') });
const callArguments = z.strictObject({
  name: z.string().describe('The name of the tool to call'),
  arguments: z.record(z.string(), z.unknown()).nullish().describe('Arguments to pass to the tool'),
});

/** `search_tools` and `call_tool` over these tools. Unlike those of Superset, they do not hide the tools from the list. */
export function toolSearch(tools: readonly Tool[]): readonly Tool[] {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  return [
    {
      name: 'search_tools',
      description: 'Search for tools by words; the best matches first',
      readOnly: true,
      inputSchema: { ...z.toJSONSchema(searchArguments), type: 'object' },
      call: async (given) => {
        const { query } = parse(searchArguments, given);
        return search(tools, query).map(summary);
      },
    },
    {
      name: 'call_tool',
      description: 'Call a tool by its name with its arguments, such as one that search_tools found',
      readOnly: false,
      inputSchema: { ...z.toJSONSchema(callArguments), type: 'object' },
      call: (given, context) => {
        const { name, arguments: inner } = parse(callArguments, given);
        const tool = byName.get(name);
        if (tool === undefined) throw new ToolFailure(`Unknown tool: ${name.slice(0, 100)}`);
        return tool.call(inner ?? {}, context);
      },
    },
  ];
}

function parse<T extends z.ZodType>(shape: T, given: unknown): z.output<T> {
  const result = shape.safeParse(given ?? {});
  if (!result.success) throw new ToolFailure(`Invalid arguments: ${z.prettifyError(result.error)}`);
  return result.data;
}

function search(tools: readonly Tool[], query: string): readonly Tool[] {
  const words = query
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  const scored = tools.map((tool) => {
    const text = `${tool.name} ${tool.description}`.toLowerCase();
    return { tool, score: words.filter((word) => text.includes(word)).length };
  });
  const found = scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score);
  return found.slice(0, maxResults).map(({ tool }) => tool);
}

/** A tool with its parameters as a hint instead of the schema, which is Superset's default. */
function summary({ name, description, inputSchema }: Tool): object {
  return { name, description, parameters_hint: Object.keys(inputSchema.properties ?? {}).join(', ') };
}
