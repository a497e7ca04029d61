// Tour of the development gateway: commands of a second terminal, each with the answer that it gets. Pure.

import { quote } from '../../shell.ts';
import type { EnvironmentFacts } from './environment-facts.ts';
import { refusedTool, sqlArguments } from './sample-calls.ts';

/** A titled group of steps. */
export interface Section {
  readonly title: string;
  readonly steps: readonly TourStep[];
}

/** One command with its explanation. */
export interface TourStep {
  /** The explanation. A refusal begins with its status. */
  readonly says: string;
  /** Bash, with the shorthands of `try.sh`. */
  readonly command: string;
  /** A text that the output contains. */
  readonly expect?: string;
}

/** The part of the environment that the commands name. */
export type TourFacts = Pick<
  EnvironmentFacts,
  'adminUrl' | 'auditFile' | 'clientSecrets' | 'configFile' | 'isDemo' | 'policy' | 'publicUrl'
>;

/** All sections. Each command works in bash, from any directory, after those before it. */
export function tourSections(facts: TourFacts): readonly Section[] {
  return [
    { title: 'Tokens', steps: tokens(facts) },
    ...(facts.isDemo ? supersetSections(facts) : generalSections(facts)),
    { title: 'The evidence', steps: evidence(facts) },
  ];
}

function tokens({ policy }: TourFacts): TourStep[] {
  const login = (variable: string, scopes: readonly string[]) =>
    `${variable}=$(token "$${variable}_LOGIN" ${quote(scopes.join(' '))})`;
  const { ai_agent_prod: agent, analytics_frontend: frontend } = policy.scopes;
  return [
    { says: `the AI agent's token: ${agent.join(' ')}`, command: login('AGENT', agent) },
    { says: `the frontend's token: ${frontend.join(' ')}`, command: login('FRONTEND', frontend) },
  ];
}

interface Example {
  readonly tool: string;
  readonly args: string;
}

const dashboards: Example = { tool: 'list_dashboards', args: '{"request":{}}' };
const sql = `execute_sql '${sqlArguments}'`;
const query = `-H 'content-type: application/json' -d '{"sql":"SELECT count(*) AS customers FROM customers"}'`;

function supersetSections(facts: TourFacts): Section[] {
  return [
    { title: 'Allowed', steps: supersetAllowed(facts) },
    { title: 'Refused, each for its own reason', steps: supersetRefused(facts) },
  ];
}

function supersetAllowed(facts: TourFacts): TourStep[] {
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
    ok('an MCP method with arguments', `try agent prompts/get '{"name":"quickstart"}'`, '"messages"'),
    ...shared(facts, dashboards).allowed,
    ok('a path route without credentials', rest('/health'), 'healthy'),
    ok(
      'a path route, with a token for its own audience',
      `${rest('/api/dashboards')} -H "authorization: Bearer ${restToken('/api/dashboards', 'dashboards:read')}"`,
      'sales-overview',
    ),
    ok(
      'defence in depth: this route wants the token and the certificate',
      `${rest('/api/queries')} --cert "$PKI/client-ai-agent-1.crt" --key "$PKI/client-ai-agent-1.key" -H "authorization: Bearer ${restToken('/api/queries', 'queries:execute')}" ${query}`,
      'customers',
    ),
  ];
}

function supersetRefused(facts: TourFacts): TourStep[] {
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
      `${rest('/api/queries')} -H "authorization: Bearer ${restToken('/api/queries', 'queries:execute')}" ${query}`,
      'credentials_required',
    ),
  ];
}

/** Shell commands for the path routes: a request, and a token for the audience of the path. */
function restCommands(facts: TourFacts) {
  return {
    rest: (path: string) => `curl -sS -i --cacert "$PKI/ca.crt" ${quote(`${facts.publicUrl}${path}`)}`,
    restToken: (path: string, scope: string) =>
      `$(token "$AGENT_LOGIN" ${scope} ${quote(`${facts.publicUrl}${path}`)})`,
  };
}

function generalSections(facts: TourFacts): Section[] {
  const { refused: refusals } = shared(facts, { tool: 'list_anything', args: '{}' });
  return [
    {
      title:
        'Allowed: tools named get_*, list_*, search_*, read_*, find_*, describe_* need tools:read, all others tools:call',
      steps: [ok('the agent lists the tools', `ask "$AGENT" tools/list '{}'`, 'HTTP/1.1 200')],
    },
    {
      title: 'Refused, each for its own reason',
      steps: [
        refused(403, 'the frontend only reads', `call "$FRONTEND" ${refusedTool} '{}'`, 'scope="tools:call"'),
        ...refusals,
      ],
    },
  ];
}

/** Steps on certificates, keys and bad requests, for any upstream. */
function shared(facts: TourFacts, { tool, args }: Example): { allowed: TourStep[]; refused: TourStep[] } {
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

function evidence(facts: TourFacts): TourStep[] {
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

function ok(says: string, command: string, expect: string): TourStep {
  return { says, command, expect };
}

function refused(status: number, says: string, command: string, expect: string): TourStep {
  return { says: `${status}: ${says}`, command, expect };
}
