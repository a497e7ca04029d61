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
  readonly place: string;
  /** The step behind it. */
  readonly start: string;
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
      place: '.mcp.json of a project',
      start: `${trusting('claude')}, then /mcp`,
      text: json({ mcpServers: { [name]: { type: 'http', url } } }),
    },
    {
      client: 'Claude Desktop',
      place: 'claude_desktop_config.json (Settings, Developer, Edit Config)',
      start: 'restart it',
      text: json({ mcpServers: { [name]: { command: 'npx', args: ['-y', 'mcp-remote', url], ...env } } }),
    },
    {
      client: 'Cursor',
      place: '.cursor/mcp.json of a project',
      start: trusting('cursor .'),
      text: json({ mcpServers: { [name]: { url } } }),
    },
    {
      client: 'VS Code',
      place: '.vscode/mcp.json of a project',
      start: trusting('code .'),
      text: json({ servers: { [name]: { type: 'http', url } } }),
    },
    {
      client: 'Codex',
      place: '~/.codex/config.toml',
      start: trusting(`codex mcp login ${name}`, 'SSL_CERT_FILE'),
      text: `[mcp_servers.${name}]\nurl = ${JSON.stringify(url)}\n`,
    },
    {
      client: 'MCP Inspector',
      place: 'inspector.json, anywhere',
      start: trusting(`npx @modelcontextprotocol/inspector --config inspector.json --server ${name}`),
      text: json({ mcpServers: { [name]: { type: 'streamable-http', url } } }),
    },
    {
      client: 'Python',
      place: 'client.py; pip install fastmcp',
      start: trusting('python3 client.py', 'SSL_CERT_FILE'),
      text: python(url),
    },
    {
      client: 'TypeScript',
      place: 'client.mjs; npm install @modelcontextprotocol/sdk',
      start: trusting('TOKEN=… node client.mjs'),
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
