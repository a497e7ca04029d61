// Configuration of common MCP clients for the development gateway, a file for each. Pure.
import { type ClientFile, type ClientName, clientFiles } from '../../console/connect/client-files.ts';
import { quote } from '../../shell.ts';
import type { EnvironmentFacts } from './environment-facts.ts';

/** The configuration of one MCP client. */
export interface ClientConfiguration extends ClientFile {
  /** Name of the written file. */
  readonly file: string;
}

type ClientFacts = Pick<EnvironmentFacts, 'caFile' | 'clientSecrets' | 'issuer' | 'mcpUrl' | 'policy' | 'directory'>;

const fileNames: Readonly<Record<ClientName, string>> = {
  'Claude Code': 'claude-code.mcp.json',
  'Claude Desktop': 'claude-desktop.mcp.json',
  Cursor: 'cursor.mcp.json',
  'VS Code': 'vs-code.mcp.json',
  Codex: 'codex.config.toml',
  'MCP Inspector': 'inspector.mcp.json',
  Python: 'client.py',
  TypeScript: 'client.ts',
};

/** Clients with a browser log in there, by one click; scripts are the agent. All trust the development CA. */
export function clientConfigurations(facts: ClientFacts): readonly ClientConfiguration[] {
  const { caFile, directory, mcpUrl } = facts;
  const trusting = (command: string) => `NODE_EXTRA_CA_CERTS=${quote(caFile)} ${command}`;
  const file = (client: ClientName) => quote(`${directory}/clients/${fileNames[client]}`);
  const inPlace = (name: ClientName) => ({ path: fileNames[name], note: 'used where it lies' });
  const own: Partial<Record<ClientName, Partial<ClientFile>>> = {
    'Claude Code': {
      start: { command: trusting(`claude --mcp-config ${file('Claude Code')}`), words: 'and log in with /mcp' },
    },
    'MCP Inspector': {
      ...inPlace('MCP Inspector'),
      start: {
        command: trusting(`npx @modelcontextprotocol/inspector --config ${file('MCP Inspector')} --server superset`),
      },
    },
    Python: {
      ...inPlace('Python'),
      start: { command: `python3 ${file('Python')}`, words: 'after pip install fastmcp' },
      text: python(facts),
    },
    TypeScript: {
      path: 'client.ts',
      note: 'in a folder with npm install @modelcontextprotocol/sdk',
      start: { command: trusting('node client.ts') },
      text: typescript(facts),
    },
  };
  return clientFiles({ name: 'superset', url: mcpUrl, caFile }).map((each) => ({
    ...each,
    ...own[each.client],
    file: fileNames[each.client],
  }));
}

/** The text of the README beside the files. */
export function clientsReadme(clients: readonly ClientConfiguration[]): string {
  const blocks = clients.map(({ client, file, note, path, start: { command, words } }) => {
    const place = [`\`${path}\``, note].filter((part) => part !== undefined).join(' ');
    const start = [command === undefined ? undefined : `\`${command}\``, words]
      .filter((part) => part !== undefined)
      .join(', ');
    return `## ${client}\n\n- File: \`${file}\`\n- Place: ${place}\n- Start: ${start}\n`;
  });
  return `# The development gateway in MCP clients\n\nThe certificates and secrets live as long as the run of \`portcullis dev\`.\n\n${blocks.join('\n')}`;
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
