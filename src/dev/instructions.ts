// Instructions that `portcullis dev` prints: running services, and commands for a second terminal. Pure.
import type { DevelopmentEnvironment } from './environment.ts';

/** A titled group of steps. */
export interface Section {
  readonly title: string;
  readonly steps: readonly Step[];
}

/** One command with its explanation. */
export interface Step {
  /** The explanation, printed as a shell comment. */
  readonly says: string;
  /** Bash; absent for a note. */
  readonly command?: string;
  /** A text that the output contains; the tests check it. */
  readonly expect?: string;
}

export type InstructionFacts = Omit<DevelopmentEnvironment, 'close'> & {
  /** Arguments that start this program, such as node and the path of its entry. */
  readonly program: readonly string[];
};

/** All sections. Each command works in bash, from any directory, after those before it. */
export function instructions(facts: InstructionFacts): readonly Section[] {
  return [
    { title: 'Running', steps: running(facts) },
    { title: 'Paste into a second terminal (bash), from here on', steps: preparation(facts) },
    ...(facts.isDemo ? supersetSections(facts) : generalSections(facts)),
    { title: 'What was written down', steps: evidence(facts) },
  ];
}

function running(facts: InstructionFacts): Step[] {
  const lines = [
    ...facts.notes.map((note) => `note: ${note}`),
    `MCP endpoint          ${facts.mcpUrl}`,
    `authorization server  ${facts.issuer}`,
    `upstream              ${facts.upstreamUrl}${facts.isDemo ? ' (demo Superset)' : ''}`,
    `metrics and health    ${facts.adminUrl}/metrics, /readyz, /status`,
    `configuration         ${facts.configFile} (edit it: it is reloaded)`,
    `certificates          ${facts.directory}/pki`,
  ];
  return lines.map((says) => ({ says }));
}

function preparation(facts: InstructionFacts): Step[] {
  const { clientSecrets, policy } = facts;
  return [
    {
      says: 'shorthands: this program, a token by the client credentials grant, a POST, a tool call',
      command: `portcullis() { ${facts.program.map(quote).join(' ')} "$@"; }`,
    },
    remark(`PKI=${quote(`${facts.directory}/pki`)}`),
    remark(`MCP=${quote(facts.mcpUrl)}`),
    remark(
      `token() { curl -sS ${quote(`${facts.issuer}/token`)} -u "$1" -d grant_type=client_credentials --data-urlencode "scope=$2" --data-urlencode "resource=\${3:-$MCP}" | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/'; }`,
    ),
    remark(
      `post() { curl -sS -i --max-time 60 --cacert "$PKI/ca.crt" "$MCP" -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' "$@"; echo; }`,
    ),
    remark(
      `call() { local bearer=$1 tool=$2 arguments=$3; shift 3; post \${bearer:+-H "authorization: Bearer $bearer"} -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'"$tool"'","arguments":'"$arguments"'}}' "$@"; }`,
    ),
    remark(`AGENT_LOGIN=ai_agent_prod:${clientSecrets.ai_agent_prod}`),
    {
      says: `the AI agent's token: ${policy.scopes.ai_agent_prod.join(' ')}`,
      command: `AGENT=$(token "$AGENT_LOGIN" ${quote(policy.scopes.ai_agent_prod.join(' '))})`,
    },
    {
      says: `the frontend's token: ${policy.scopes.analytics_frontend.join(' ')}`,
      command: `FRONTEND=$(token analytics_frontend:${clientSecrets.analytics_frontend} ${quote(policy.scopes.analytics_frontend.join(' '))})`,
    },
    { says: "the reporting tool's API key, on its way out", command: `KEY=${facts.apiKey}` },
  ];
}

interface Example {
  readonly tool: string;
  readonly args: string;
}

const dashboards: Example = { tool: 'list_dashboards', args: '{"request":{}}' };
const ordersByRegion = 'SELECT region, count(*) AS orders, round(sum(revenue)) AS revenue FROM orders GROUP BY region';
const sql = `execute_sql '{"request":{"database_id":1,"sql":"${ordersByRegion}"}}'`;
const query = `-H 'content-type: application/json' -d '{"sql":"SELECT count(*) AS customers FROM customers"}'`;

function supersetSections(facts: InstructionFacts): Section[] {
  return [
    { title: 'Allowed', steps: supersetAllowed(facts) },
    { title: 'Refused, each for its own reason', steps: supersetRefused(facts) },
  ];
}

function supersetAllowed(facts: InstructionFacts): Step[] {
  const { rest, restToken } = restCommands(facts);
  return [
    ok('the agent lists dashboards', `call "$AGENT" ${dashboards.tool} '${dashboards.args}'`, 'Sales Overview'),
    ok('the agent runs SQL; the answer is a stream of several frames', `call "$AGENT" ${sql}`, 'rows_returned=3'),
    ok(
      'a tool by way of another one, as agents call what search_tools found',
      `call "$AGENT" call_tool '{"name":"get_chart_preview","arguments":{"request":{"identifier":3}}}'`,
      'AMER',
    ),
    ok(
      'who Superset sees: the identity that the gateway verified, never the token',
      `call "$AGENT" get_instance_info '{"request":{}}'`,
      'ai_agent_prod',
    ),
    ...shared(facts, dashboards).allowed,
    ok('a path route without credentials', rest('/health'), 'healthy'),
    ok(
      'a path route, with a token for its own audience',
      `${rest('/api/dashboards')} -H "authorization: Bearer ${restToken('/api/dashboards', 'dashboards:read')}"; echo`,
      'sales-overview',
    ),
    ok(
      'defence in depth: this route wants the token and the certificate',
      `${rest('/api/queries')} --cert "$PKI/client-ai-agent-1.crt" --key "$PKI/client-ai-agent-1.key" -H "authorization: Bearer ${restToken('/api/queries', 'queries:execute')}" ${query}; echo`,
      'customers',
    ),
  ];
}

function supersetRefused(facts: InstructionFacts): Step[] {
  const { rest, restToken } = restCommands(facts);
  return [
    refused(403, 'the frontend may not run SQL', `call "$FRONTEND" ${sql}`, 'scope="queries:execute"'),
    refused(
      403,
      'the agent may see chart data, but not export it',
      `call "$AGENT" get_chart_data '{"request":{"identifier":1,"format":"csv"}}'`,
      'scope="exports:create"',
    ),
    refused(
      403,
      'the proxy is no way around: the tool that it calls is judged',
      `call "$FRONTEND" call_tool '{"name":"execute_sql","arguments":{"request":{"database_id":1,"sql":"SELECT 1"}}}'`,
      'scope="queries:execute"',
    ),
    refused(403, 'no rule allows this tool', `call "$AGENT" delete_dashboard '{"request":{"identifier":1}}'`, 'denied'),
    ...shared(facts, dashboards).refused,
    refused(
      401,
      'this token is for another audience',
      `call "${restToken('/api/dashboards', 'dashboards:read')}" ${dashboards.tool} '${dashboards.args}'`,
      'invalid_token',
    ),
    refused(
      401,
      'defence in depth: the token alone is not enough',
      `${rest('/api/queries')} -H "authorization: Bearer ${restToken('/api/queries', 'queries:execute')}" ${query}; echo`,
      'credentials_required',
    ),
  ];
}

/** Shell commands for the path routes: a request, and a token for the audience of the path. */
function restCommands(facts: InstructionFacts) {
  return {
    rest: (path: string) => `curl -sS -i --cacert "$PKI/ca.crt" ${quote(`${facts.publicUrl}${path}`)}`,
    restToken: (path: string, scope: string) =>
      `$(token "$AGENT_LOGIN" ${scope} ${quote(`${facts.publicUrl}${path}`)})`,
  };
}

function generalSections(facts: InstructionFacts): Section[] {
  const list = `post -H "authorization: Bearer $AGENT" -d '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'`;
  const { refused: refusals } = shared(facts, { tool: 'list_anything', args: '{}' });
  return [
    {
      title:
        'Allowed: tools named get_*, list_*, search_*, read_*, find_*, describe_* need tools:read, all others tools:call',
      steps: [ok('the agent lists the tools', list, 'HTTP/1.1 200')],
    },
    {
      title: 'Refused, each for its own reason',
      steps: [
        refused(403, 'the frontend only reads', `call "$FRONTEND" change_something '{}'`, 'scope="tools:call"'),
        ...refusals,
      ],
    },
  ];
}

/** Steps on certificates, keys and bad requests, for any upstream. */
function shared(facts: InstructionFacts, { tool, args }: Example): { allowed: Step[]; refused: Step[] } {
  const call = (bearer: string, more = '') => `call ${bearer} ${tool} '${args}'${more}`;
  const certificate = (name: string) => ` --cert "$PKI/${name}.crt" --key "$PKI/${name}.key"`;
  const withCertificate = (name: string) => call('"$AGENT"', certificate(name));
  const readScopes = quote(facts.policy.scopes.analytics_frontend.join(' '));
  const shortLived = `token short_lived:${facts.clientSecrets.short_lived} ${readScopes}`;
  return {
    allowed: [
      ok('with its own certificate beside the token', withCertificate('client-ai-agent-1'), 'HTTP/1.1 200'),
      ok('with a legacy key: see the Deprecation and Sunset headers', call("''", ' -H "x-api-key: $KEY"'), 'Sunset:'),
    ],
    refused: [
      refused(401, 'nothing presented: the challenge says where to log in', call("''"), 'resource_metadata='),
      refused(401, 'not a token', call('not.a.token'), 'invalid_token'),
      refused(401, 'an expired token', `EXPIRED=$(${shortLived}); sleep 2; ${call('"$EXPIRED"')}`, 'invalid_token'),
      refused(401, 'a certificate that is not on the list', withCertificate('client-unlisted'), 'invalid_certificate'),
      refused(401, 'a revoked certificate', withCertificate('client-revoked'), 'invalid_certificate'),
      refused(401, 'a certificate of another CA', withCertificate('client-other-ca'), 'invalid_certificate'),
      refused(401, 'a key that nobody has', call("''", ' -H "x-api-key: sk_guess"'), 'invalid_api_key'),
      refused(400, 'a token and a key together', call('"$AGENT"', ' -H "x-api-key: $KEY"'), 'ambiguous_credentials'),
      refused(421, 'another host name', call('"$AGENT"', ' -H "host: attacker.example"'), 'bad_host'),
      refused(
        403,
        'a web page of another origin',
        call('"$AGENT"', ' -H "origin: https://attacker.example"'),
        'origin_denied',
      ),
    ],
  };
}

function evidence(facts: InstructionFacts): Step[] {
  const audit = quote(facts.auditFile);
  return [
    {
      says: 'decisions, counted',
      command: `curl -sS ${facts.adminUrl}/metrics | grep '^portcullis_decisions_total'`,
      expect: 'portcullis_decisions_total',
    },
    { says: 'the last three audit records', command: `tail -n 3 ${audit}`, expect: '"hash":' },
    { says: 'nobody has altered them', command: `portcullis audit verify ${audit}`, expect: 'valid' },
    { says: 'is the configuration all right?', command: `portcullis check -c ${quote(facts.configFile)}` },
  ];
}

/** A command without an explanation. */
function remark(command: string): Step {
  return { says: '', command };
}

function ok(says: string, command: string, expect: string): Step {
  return { says, command, expect };
}

function refused(status: number, says: string, command: string, expect: string): Step {
  return { says: `${status}: ${says}`, command, expect };
}

/** Quotes a text as one word of the shell. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
