// The tools and the prompt of revision 2026-07-28 that need an answer of the client before they have theirs.
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  type InputRequests,
  inputRequired,
  inputResponse,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import * as z from 'zod';
import { answer } from './tools.ts';

type Step = { readonly step: number };
const nameSchema = z.object({ name: z.string() });
const colorSchema = z.object({ color: z.string() });
const okSchema = z.object({ ok: z.boolean() });
const contextSchema = z.object({ context: z.string() });

/** Seals what a tool must remember between two calls; the servers of all requests share one. */
export const requestState = createRequestStateCodec<Step>({ key: crypto.getRandomValues(new Uint8Array(32)) });

const askName = inputRequired.elicit({ message: 'What is your name?', requestedSchema: nameSchema });
const askModel = (prompt: string, maxTokens: number) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens });
const description = 'Needs input.';

export function registerInputRequired(server: McpServer): void {
  registerSingleQuestions(server);
  registerWithState(server);
  server.registerPrompt('test_input_required_result_prompt', { description }, ({ mcpReq: { inputResponses } }) => {
    const given = acceptedContent(inputResponses, 'user_context', contextSchema);
    if (given === undefined) {
      const question = { message: 'What context should the prompt use?', requestedSchema: contextSchema };
      return inputRequired({ inputRequests: { user_context: inputRequired.elicit(question) } });
    }
    return { messages: [{ role: 'user', content: { type: 'text', text: `Use the context: ${given.context}` } }] };
  });
}

function registerSingleQuestions(server: McpServer): void {
  const greet = async ({ mcpReq: { inputResponses } }: ServerContext) => {
    const given = acceptedContent(inputResponses, 'user_name', nameSchema);
    if (given === undefined) return inputRequired({ inputRequests: { user_name: askName } });
    return answer(`Hello, ${given.name}!`);
  };
  server.registerTool('test_input_required_result_elicitation', { description }, greet);
  server.registerTool('test_streaming_elicitation', { description }, async (context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    if (progressToken !== undefined) {
      await context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
    }
    return greet(context);
  });
  server.registerTool('test_input_required_result_sampling', { description }, ({ mcpReq: { inputResponses } }) => {
    const given = inputResponse(inputResponses, 'capital_question');
    if (given.kind === 'sampling') return answer(JSON.stringify(given.result.content));
    return inputRequired({ inputRequests: { capital_question: askModel('What is the capital of France?', 100) } });
  });
  server.registerTool('test_input_required_result_list_roots', { description }, ({ mcpReq: { inputResponses } }) => {
    const given = inputResponse(inputResponses, 'client_roots');
    if (given.kind === 'roots') return answer(given.roots.map(({ uri }) => uri).join(' '));
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  server.registerTool('test_missing_capability', { description }, ({ mcpReq: { inputResponses } }) => {
    const given = inputResponse(inputResponses, 'question');
    if (given.kind === 'sampling') return answer('sampled');
    return inputRequired({ inputRequests: { question: askModel('Anything?', 10) } });
  });
  server.registerTool('test_input_required_result_capabilities', { description }, ({ mcpReq: { envelope } }) => {
    const declared = (envelope as Partial<Record<string, ClientCapabilities>> | undefined)?.[
      CLIENT_CAPABILITIES_META_KEY
    ];
    const { elicitation, sampling } = declared ?? {};
    const inputRequests: InputRequests = {
      ...(elicitation !== undefined && { user_name: askName }),
      ...(sampling !== undefined && { question: askModel('Anything?', 10) }),
    };
    return Object.keys(inputRequests).length === 0 ? answer('nothing to ask with') : inputRequired({ inputRequests });
  });
}

function registerWithState(server: McpServer): void {
  const confirm = inputRequired.elicit({ message: 'Please confirm', requestedSchema: okSchema });
  for (const name of ['test_input_required_result_request_state', 'test_input_required_result_tampered_state']) {
    server.registerTool(name, { description }, async ({ mcpReq }) => {
      const given = acceptedContent(mcpReq.inputResponses, 'confirm', okSchema);
      if (given !== undefined && mcpReq.requestState<Step>()?.step === 1) return answer('state-ok');
      return inputRequired({ inputRequests: { confirm }, requestState: await requestState.mint({ step: 1 }) });
    });
  }
  server.registerTool('test_input_required_result_multiple_inputs', { description }, async ({ mcpReq }) => {
    const name = acceptedContent(mcpReq.inputResponses, 'user_name', nameSchema);
    const greeting = inputResponse(mcpReq.inputResponses, 'greeting');
    const roots = inputResponse(mcpReq.inputResponses, 'client_roots');
    if (name !== undefined && greeting.kind === 'sampling' && roots.kind === 'roots') {
      return answer(`${JSON.stringify(greeting.result.content)} ${name.name}, ${roots.roots.length} roots`);
    }
    const inputRequests = {
      user_name: askName,
      greeting: askModel('Generate a greeting', 50),
      client_roots: inputRequired.listRoots(),
    };
    return inputRequired({ inputRequests, requestState: await requestState.mint({ step: 1 }) });
  });
  server.registerTool('test_input_required_result_multi_round', { description }, async ({ mcpReq }) => {
    const step = mcpReq.requestState<Step>()?.step ?? 0;
    const color = acceptedContent(mcpReq.inputResponses, 'step2', colorSchema);
    if (step === 2 && color !== undefined) return answer(`Your colour is ${color.color}`);
    const second = step === 1 && acceptedContent(mcpReq.inputResponses, 'step1', nameSchema) !== undefined;
    const question = second
      ? { message: 'Step 2: What is your favorite color?', requestedSchema: colorSchema }
      : { message: 'Step 1: What is your name?', requestedSchema: nameSchema };
    return inputRequired({
      inputRequests: { [second ? 'step2' : 'step1']: inputRequired.elicit(question) },
      requestState: await requestState.mint({ step: second ? 2 : 1 }),
    });
  });
}
