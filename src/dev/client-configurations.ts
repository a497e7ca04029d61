// Configuration of common MCP clients for the development gateway, a file for each. Pure.
import type { EnvironmentFacts } from './environment-facts.ts';
import { quote } from './shell.ts';

/** The configuration of one MCP client. */
export interface ClientConfiguration {
  readonly client: string;
  /** Name of the written file. */
  readonly file: string;
  /** The place that the text belongs to. */
  readonly place: string;
  /** A command that starts the client, or what to do. */
  readonly start: string;
  readonly text: string;
}

export type ClientFacts = Pick<
  EnvironmentFacts,
  'caFile' | 'clientSecrets' | 'issuer' | 'mcpUrl' | 'policy' | 'directory'
>;

/** Clients with a browser log in there, by one click; scripts are the agent. All trust the development CA. */
export function clientConfigurations(facts: ClientFacts): readonly ClientConfiguration[] {
  const { caFile, directory, mcpUrl } = facts;
  const trusting = (command: string) => `NODE_EXTRA_CA_CERTS=${quote(caFile)} ${command}`;
  const file = (name: string) => quote(`${directory}/clients/${name}`);
  return [
    {
      client: 'Claude Code',
      file: 'claude-code.mcp.json',
      place: '.mcp.json of a project',
      start: `${trusting(`claude --mcp-config ${file('claude-code.mcp.json')}`)}, then /mcp`,
      text: json({ mcpServers: { superset: { type: 'http', url: mcpUrl } } }),
    },
    {
      client: 'Claude Desktop',
      file: 'claude-desktop.mcp.json',
      place: 'claude_desktop_config.json (Settings, Developer, Edit Config)',
      start: 'restart it',
      text: json({
        mcpServers: {
          superset: { command: 'npx', args: ['-y', 'mcp-remote', mcpUrl], env: { NODE_EXTRA_CA_CERTS: caFile } },
        },
      }),
    },
    {
      client: 'Cursor',
      file: 'cursor.mcp.json',
      place: '.cursor/mcp.json of a project',
      start: trusting('cursor .'),
      text: json({ mcpServers: { superset: { url: mcpUrl } } }),
    },
    {
      client: 'VS Code',
      file: 'vs-code.mcp.json',
      place: '.vscode/mcp.json of a project',
      start: trusting('code .'),
      text: json({ servers: { superset: { type: 'http', url: mcpUrl } } }),
    },
    {
      client: 'Codex',
      file: 'codex.config.toml',
      place: '~/.codex/config.toml',
      start: `SSL_CERT_FILE=${quote(caFile)} codex mcp login superset`,
      text: `[mcp_servers.superset]\nurl = ${JSON.stringify(mcpUrl)}\n`,
    },
    {
      client: 'MCP Inspector',
      file: 'inspector.mcp.json',
      place: 'used where it lies',
      start: trusting(`npx @modelcontextprotocol/inspector --config ${file('inspector.mcp.json')} --server superset`),
      text: json({ mcpServers: { superset: { type: 'streamable-http', url: mcpUrl } } }),
    },
    {
      client: 'Python',
      file: 'client.py',
      place: 'used where it lies',
      start: `pip install fastmcp, then python3 ${file('client.py')}`,
      text: python(facts),
    },
    {
      client: 'TypeScript',
      file: 'client.ts',
      place: 'a folder with npm install @modelcontextprotocol/sdk',
      start: trusting('node client.ts'),
      text: typescript(facts),
    },
  ];
}

/** The text of the README beside the files. */
export function clientsReadme(clients: readonly ClientConfiguration[]): string {
  const blocks = clients.map(
    ({ client, file, place, start }) =>
      `## ${client}\n\n- File: \`${file}\`\n- Place: ${place}\n- Start: \`${start}\`\n`,
  );
  return `# The development gateway in MCP clients\n\nThe certificates and secrets live as long as the run of \`portcullis dev\`.\n\n${blocks.join('\n')}`;
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function python({ caFile, clientSecrets, issuer, mcpUrl, policy }: ClientFacts): string {
  const text = JSON.stringify;
  return `# The agent of the development gateway: a token by the client credentials grant, then its tools.
import asyncio, base64, json, urllib.parse, urllib.request
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

mcp_url = ${text(mcpUrl)}
grant = {"grant_type": "client_credentials", "scope": ${text(policy.scopes.ai_agent_prod.join(' '))}, "resource": mcp_url}
login = base64.b64encode(${text(`ai_agent_prod:${clientSecrets.ai_agent_prod}`)}.encode()).decode()
request = urllib.request.Request(
    ${text(`${issuer}/token`)}, urllib.parse.urlencode(grant).encode(), {"Authorization": f"Basic {login}"}
)
token = json.load(urllib.request.urlopen(request))["access_token"]


async def main():
    transport = StreamableHttpTransport(mcp_url, auth=token, verify=${text(caFile)})
    async with Client(transport) as client:
        for tool in await client.list_tools():
            print(tool.name)


asyncio.run(main())
`;
}

function typescript({ clientSecrets, issuer, mcpUrl, policy }: ClientFacts): string {
  const text = JSON.stringify;
  return `// The agent of the development gateway: a token by the client credentials grant, then its tools.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const mcpUrl = ${text(mcpUrl)};
const answer = await fetch(${text(`${issuer}/token`)}, {
  method: 'POST',
  headers: { authorization: \`Basic \${btoa(${text(`ai_agent_prod:${clientSecrets.ai_agent_prod}`)})}\` },
  body: new URLSearchParams({
    grant_type: 'client_credentials',
    scope: ${text(policy.scopes.ai_agent_prod.join(' '))},
    resource: mcpUrl,
  }),
});
const { access_token: token } = await answer.json();

const client = new Client({ name: 'first-client', version: '1.0.0' });
await client.connect(
  new StreamableHTTPClientTransport(new URL(mcpUrl), { requestInit: { headers: { authorization: \`Bearer \${token}\` } } }),
);
for (const { name } of (await client.listTools()).tools) console.log(name);
await client.close();
`;
}
