// Configuration of common MCP clients for an endpoint. Pure.
import { quote } from '../../shell.ts';

/** The clients. */
export type ClientName =
  | 'Claude Code'
  | 'Claude Desktop'
  | 'Cursor'
  | 'VS Code'
  | 'Codex'
  | 'MCP Inspector'
  | 'Python'
  | 'TypeScript';

/** The configuration of one client. */
export interface ClientFile {
  readonly client: ClientName;
  /** The file that the text belongs into. */
  readonly path: string;
  /** Where the file is, or what it needs; to be read behind the path. */
  readonly note?: string;
  /** The step behind it: a command, words, or both. */
  readonly start: { readonly command?: string; readonly words?: string };
  readonly text: string;
}

/** The endpoint. */
export interface ServerEntry {
  /** The name that the client shows. */
  readonly name: string;
  readonly url: string;
  /** Path of a PEM file on the client's machine; undefined where the authority is a public one. */
  readonly caFile?: string | undefined;
}

/** Clients in which a person logs in by the browser, and programs that have a token. */
export function clientFiles({ caFile, name, url }: ServerEntry): readonly ClientFile[] {
  const trusting = (command: string, variable = 'NODE_EXTRA_CA_CERTS') =>
    caFile === undefined ? command : `${variable}=${quote(caFile)} ${command}`;
  const env = caFile === undefined ? {} : { env: { NODE_EXTRA_CA_CERTS: caFile } };
  return [
    {
      client: 'Claude Code',
      path: '.mcp.json',
      note: 'of a project',
      start: { command: trusting('claude'), words: 'and log in with /mcp' },
      text: json({ mcpServers: { [name]: { type: 'http', url } } }),
    },
    {
      client: 'Claude Desktop',
      path: 'claude_desktop_config.json',
      note: '(Settings, Developer, Edit Config)',
      start: { words: 'restart Claude Desktop' },
      text: json({ mcpServers: { [name]: { command: 'npx', args: ['-y', 'mcp-remote', url], ...env } } }),
    },
    {
      client: 'Cursor',
      path: '.cursor/mcp.json',
      note: 'of a project',
      start: { command: trusting('cursor .') },
      text: json({ mcpServers: { [name]: { url } } }),
    },
    {
      client: 'VS Code',
      path: '.vscode/mcp.json',
      note: 'of a project',
      start: { command: trusting('code .') },
      text: json({ servers: { [name]: { type: 'http', url } } }),
    },
    {
      client: 'Codex',
      path: '~/.codex/config.toml',
      start: { command: trusting(`codex mcp login ${name}`, 'SSL_CERT_FILE') },
      text: `[mcp_servers.${name}]\nurl = ${JSON.stringify(url)}\n`,
    },
    {
      client: 'MCP Inspector',
      path: 'inspector.json',
      note: 'in any directory',
      start: { command: trusting(`npx @modelcontextprotocol/inspector --config inspector.json --server ${name}`) },
      text: json({ mcpServers: { [name]: { type: 'streamable-http', url } } }),
    },
    {
      client: 'Python',
      path: 'client.py',
      note: '(it needs pip install fastmcp)',
      start: { command: trusting('python3 client.py', 'SSL_CERT_FILE') },
      text: python(url),
    },
    {
      client: 'TypeScript',
      path: 'client.mjs',
      note: '(it needs Node.js 20 and npm install @modelcontextprotocol/sdk)',
      start: { command: trusting('TOKEN=… node client.mjs') },
      text: typescript(url),
    },
  ];
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function python(url: string): string {
  return `import asyncio
from fastmcp import Client


async def main():
    # Opens the browser to log in. With a token of your own: auth="TOKEN".
    async with Client(${JSON.stringify(url)}, auth="oauth") as client:
        for tool in await client.list_tools():
            print(tool.name)


asyncio.run(main())
`;
}

function typescript(url: string): string {
  return `import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const headers = { authorization: \`Bearer \${process.env.TOKEN}\` };
const client = new Client({ name: 'my-client', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(${JSON.stringify(url)}), { requestInit: { headers } }));
for (const { name } of (await client.listTools()).tools) console.log(name);
await client.close();
`;
}
