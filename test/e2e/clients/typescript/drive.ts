// Steps of the scenario for clients in TypeScript; test/e2e/clients/scenario.ts is the other side.
import { setTimeout as wait } from 'node:timers/promises';

export interface ScenarioClient {
  /** Opens a session, after a log-in where there is none. */
  connect(): Promise<void>;
  list(): Promise<string[]>;
  /** The text that the tool answers with. */
  call(tool: string, args: Readonly<Record<string, string>>, onProgress?: (progress: number) => void): Promise<string>;
  close(): Promise<void>;
}

/** Arguments of the program. */
export const [, , url = '', , control = '', refusals = ''] = process.argv;

/** Asks the control server. Rejects with an Error when it finds that something is not as it should be. */
export async function ask(path: string): Promise<string> {
  const response = await fetch(control + path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
}

/** Lets the person approve on a page; resolves with the URL that the browser is sent to, and visits where the client listens for it. */
export async function browse(page: URL, visit: '' | '&visit' = ''): Promise<URL> {
  return new URL(await ask(`/browser?url=${encodeURIComponent(page.href)}${visit}`));
}

export async function drive(client: ScenarioClient): Promise<void> {
  const begin = (step: string) => ask(`/step/${step}`);
  const say = (...fields: string[]) => console.log(fields.join('\t'));
  await begin('log-in');
  await client.connect();
  say('log-in');
  await begin('list');
  say('list', (await client.list()).join(' '));
  await begin('call');
  say('call', await client.call('test_simple_text', {}));
  await begin('step-up');
  say('step-up', await client.call('test_tool_with_progress', {}));
  await begin('stream');
  const seen: number[] = [];
  await client.call('test_tool_with_progress', {}, (progress) => void seen.push(progress));
  say('stream', seen.join(' '));
  for (const refusal of refusals.split(',')) {
    await begin(refusal);
    const outcome = await refused(client, refusal);
    await begin('after');
    say(refusal, outcome, await goOn(client));
  }
  await client.close();
}

/** Makes the call that is to be refused; resolves with how it ended. */
async function refused(client: ScenarioClient, refusal: string): Promise<string> {
  const denied = refusal === 'denied' || refusal === '403';
  const args = { ...(denied && { prompt: 'p' }), ...(refusal === '413' && { padding: 'x'.repeat(100_000) }) };
  const call = client.call(denied ? 'test_sampling' : 'test_simple_text', args).then(
    () => 'ok',
    (error: Error) => error.message.replaceAll(/\s+/g, ' '),
  );
  return Promise.race([call, wait(10_000, 'hangs', { ref: false })]);
}

/** Calls again, in a new session where the old one is over. */
async function goOn(client: ScenarioClient): Promise<string> {
  try {
    await client.call('test_simple_text', {});
    return 'same';
  } catch {
    await client.close();
    await client.connect();
    await client.call('test_simple_text', {});
    return 'new';
  }
}
