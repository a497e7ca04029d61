// Configuration of common MCP clients for the development gateway. Pure.

/** The configuration of one MCP client. */
export interface ClientConfiguration {
  readonly client: string;
  /** The file that the JSON belongs into, and how to start the client. */
  readonly says: string;
  readonly json: object;
}

/** Clients log in by the browser. They trust the development CA through NODE_EXTRA_CA_CERTS. */
export function clientConfigurations(facts: { mcpUrl: string; caFile: string }): readonly ClientConfiguration[] {
  const { mcpUrl, caFile } = facts;
  return [
    {
      client: 'Claude Code',
      says: `.mcp.json; start with NODE_EXTRA_CA_CERTS=${caFile} claude, then /mcp`,
      json: { mcpServers: { superset: { type: 'http', url: mcpUrl } } },
    },
    {
      client: 'Claude Desktop',
      says: 'claude_desktop_config.json',
      json: {
        mcpServers: {
          superset: { command: 'npx', args: ['-y', 'mcp-remote', mcpUrl], env: { NODE_EXTRA_CA_CERTS: caFile } },
        },
      },
    },
    {
      client: 'Cursor',
      says: `.cursor/mcp.json; start with NODE_EXTRA_CA_CERTS=${caFile} cursor .`,
      json: { mcpServers: { superset: { url: mcpUrl } } },
    },
    {
      client: 'VS Code',
      says: `.vscode/mcp.json; start with NODE_EXTRA_CA_CERTS=${caFile} code .`,
      json: { servers: { superset: { type: 'http', url: mcpUrl } } },
    },
  ];
}
