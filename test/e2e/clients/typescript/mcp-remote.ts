// mcp-remote in the scenario: a client of standard input and output (TypeScript SDK) whose server is mcp-remote, which logs in and speaks HTTP.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { browse, drive, url } from './drive.ts';

const { MCP_REMOTE: proxy = '' } = process.env;
const folder = await mkdtemp(join(tmpdir(), 'mcp-remote-'));
let client: Client;

async function connect(): Promise<void> {
  client = new Client({ name: 'mcp-remote', version: '1' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [proxy, url],
    // `true` is a browser that opens nothing: the person takes the URL from what mcp-remote writes.
    env: { ...(process.env as Record<string, string>), MCP_REMOTE_CONFIG_DIR: folder, BROWSER: 'true' },
    stderr: 'pipe',
  });
  createInterface(transport.stderr as unknown as NodeJS.ReadableStream).on('line', (line) => {
    const page = /^(http:\S+\/auth\?\S+)$/.exec(line.trim())?.[1];
    if (page !== undefined) void browse(new URL(page), '&visit');
  });
  await client.connect(transport);
}

await drive({
  connect,
  list: async () => (await client.listTools()).tools.map(({ name }) => name),
  async call(name, args, onProgress) {
    const options = onProgress && { onprogress: ({ progress }: { progress: number }) => onProgress(progress) };
    const { content } = await client.callTool({ name, arguments: args }, undefined, options);
    return (content as { text: string }[])[0]!.text;
  },
  close: () => client.close(),
});
await rm(folder, { recursive: true, force: true });
