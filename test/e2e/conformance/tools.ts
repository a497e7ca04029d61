// The tools that the conformance suite calls by name, without any SDK.
import { type Content, image, text } from './content.ts';
import {
  defaultsSchema,
  type ElicitationSchema,
  enumsSchema,
  personSchema,
  required,
  schemaOf202012,
} from './schemas.ts';

export interface ToolResult {
  content: Content[];
  isError?: boolean;
  [member: string]: unknown;
}

/** What a tool may do with the request it answers, whichever SDK serves it. */
export interface CallContext {
  /** Nothing when the caller gave no progress token. */
  progress(progress: number, total: number): Promise<void>;
  log(text: string): Promise<void>;
  /** Asks the client; rejects when it cannot be asked. */
  elicit(message: string, requestedSchema: ElicitationSchema): Promise<{ action: string; content?: unknown }>;
  sample(prompt: string): Promise<unknown>;
  /** Ends the event stream of this request; its result is then fetched by resumption. */
  closeStream(): void;
}

export interface FixtureTool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema; default: no arguments. */
  readonly inputSchema?: Record<string, unknown>;
  call(args: Record<string, unknown>, context: CallContext): ToolResult | Promise<ToolResult>;
}

/** A RIFF header and no samples. */
const wav = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=';

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));
export const answer = (value: string): ToolResult => ({ content: [text(value)] });

async function elicited(context: CallContext, message: string, schema: ElicitationSchema): Promise<ToolResult> {
  const { action, content } = await context.elicit(message, schema);
  return answer(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
}

export const tools: readonly FixtureTool[] = [
  {
    name: 'test_simple_text',
    description: 'Answers with text.',
    call: () => answer('This is a simple text response for testing.'),
  },
  { name: 'test_image_content', description: 'Answers with an image.', call: () => ({ content: [image] }) },
  {
    name: 'test_audio_content',
    description: 'Answers with sound.',
    call: () => ({ content: [{ type: 'audio', data: wav, mimeType: 'audio/wav' }] }),
  },
  {
    name: 'test_embedded_resource',
    description: 'Answers with a resource.',
    call: () => ({
      content: [
        {
          type: 'resource',
          resource: {
            uri: 'test://embedded-resource',
            mimeType: 'text/plain',
            text: 'This is an embedded resource content.',
          },
        },
      ],
    }),
  },
  {
    name: 'test_multiple_content_types',
    description: 'Answers with text, an image and a resource.',
    call: () => ({
      content: [
        text('Multiple content types test:'),
        image,
        {
          type: 'resource',
          resource: {
            uri: 'test://mixed-content-resource',
            mimeType: 'application/json',
            text: JSON.stringify({ test: 'data', value: 123 }),
          },
        },
      ],
    }),
  },
  {
    name: 'test_tool_with_logging',
    description: 'Logs while it works.',
    async call(_args, { log }) {
      await log('Tool execution started');
      await pause();
      await log('Tool processing data');
      await pause();
      await log('Tool execution completed');
      return answer('Tool with logging executed successfully');
    },
  },
  {
    name: 'test_tool_with_progress',
    description: 'Reports progress while it works.',
    async call(_args, { progress }) {
      for (const done of [0, 50, 100]) {
        await progress(done, 100);
        if (done < 100) await pause();
      }
      return answer('Tool with progress executed successfully');
    },
  },
  {
    name: 'test_error_handling',
    description: 'Always fails.',
    call() {
      throw new Error('This tool intentionally returns an error for testing');
    },
  },
  {
    name: 'test_sampling',
    description: "Asks the client's model.",
    inputSchema: required('prompt', 'The prompt to send to the LLM'),
    call: async ({ prompt }, { sample }) => answer(`LLM response: ${JSON.stringify(await sample(String(prompt)))}`),
  },
  {
    name: 'test_elicitation',
    description: 'Asks the person at the client.',
    inputSchema: required('message', 'The message to show the user'),
    async call({ message }, { elicit }) {
      const { action, content } = await elicit(String(message), personSchema);
      return answer(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`);
    },
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    description: 'Asks with a default for every type.',
    call: (_args, context) => elicited(context, 'Please review the defaults', defaultsSchema),
  },
  {
    name: 'test_elicitation_sep1330_enums',
    description: 'Asks with every kind of enumeration.',
    call: (_args, context) => elicited(context, 'Please choose', enumsSchema),
  },
  {
    name: 'test_reconnection',
    description: 'Closes its stream before it answers.',
    async call(_args, { closeStream }) {
      closeStream();
      await pause();
      return answer('Reconnection test completed');
    },
  },
  {
    name: 'json_schema_2020_12_tool',
    description: 'Tool with JSON Schema 2020-12 features',
    inputSchema: schemaOf202012,
    call: (args) => answer(JSON.stringify(args)),
  },
];
