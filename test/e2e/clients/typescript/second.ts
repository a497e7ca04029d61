// The TypeScript SDK's client of the second generation in the scenario.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { drive, url } from './drive.ts';
import { createLogin } from './login.ts';

const { provider, authorized } = createLogin('TypeScript, second generation');
let client: Client;
let transport: StreamableHTTPClientTransport;

function open(): Promise<void> {
  client = new Client({ name: 'TypeScript', version: '2' }, { versionNegotiation: { mode: 'auto' } });
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider as never });
  return client.connect(transport);
}
const finish = (query: URLSearchParams) => transport.finishAuth(query);

await drive({
  connect: () => authorized(open, finish),
  list: async () => (await client.listTools()).tools.map(({ name }) => name),
  async call(name, args, onProgress) {
    const options = onProgress && { onprogress: ({ progress }: { progress: number }) => onProgress(progress) };
    const { content } = await authorized(() => client.callTool({ name, arguments: args }, options), finish);
    return (content as { text: string }[])[0]!.text;
  },
  close: () => client.close(),
});
