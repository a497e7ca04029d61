// The TypeScript SDK's client of the first generation in the scenario.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { drive, url } from './drive.ts';
import { createLogin } from './login.ts';

const { provider, authorized } = createLogin('TypeScript, first generation');
let client: Client;
let transport: StreamableHTTPClientTransport;

function open(): Promise<void> {
  client = new Client({ name: 'TypeScript', version: '1' });
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider as never });
  return client.connect(transport as Parameters<typeof client.connect>[0]);
}
const finish = (query: URLSearchParams) => transport.finishAuth(query.get('code') ?? '');

await drive({
  connect: () => authorized(open, finish),
  list: async () => (await client.listTools()).tools.map(({ name }) => name),
  async call(name, args, onProgress) {
    const options = onProgress && { onprogress: ({ progress }: { progress: number }) => onProgress(progress) };
    const call = () => client.callTool({ name, arguments: args }, undefined, options);
    const { content } = await authorized(call, finish);
    return (content as { text: string }[])[0]!.text;
  },
  close: () => client.close(),
});
