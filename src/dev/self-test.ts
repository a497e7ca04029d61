// Self-test of the development environment: an allowed and a refused call through the gateway over TLS, and the records of both.
import { readFile } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import { messageOf } from '../errors.ts';
import type { EnvironmentFacts } from './files/environment-facts.ts';
import { refusedTool, sqlArguments } from './files/sample-calls.ts';

/** A check of the self-test. */
export interface Check {
  readonly says: string;
  /** The reason for which it failed, and what to do; absent when it passed. */
  readonly problem?: string;
}

/** Options of `selfTest`. */
export interface SelfTestOptions {
  readonly environment: EnvironmentFacts;
  /** Resolves to the problem of the audit log, or when it is valid and has the completed records of these requests. */
  readonly verifyAudit: (requestIds: readonly string[]) => Promise<string | undefined>;
}

interface Answer {
  readonly status: number;
  readonly requestId: string;
  readonly body: string;
}

/** Never rejects. Each check fails for itself. */
export async function selfTest({ environment, verifyAudit }: SelfTestOptions): Promise<readonly Check[]> {
  const { clientSecrets, isDemo, policy } = environment;
  const ca = await readFile(environment.caFile, 'utf8');
  const ids: string[] = [];
  const call = async (client: 'ai_agent_prod' | 'analytics_frontend', message: object) => {
    const token = await tokenOf(environment, `${client}:${clientSecrets[client]}`, policy.scopes[client]);
    const answer = await post(environment.mcpUrl, JSON.stringify({ jsonrpc: '2.0', id: 1, ...message }), {
      ca,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${token}`,
      },
    });
    ids.push(answer.requestId);
    return answer;
  };
  const clientInfo = { name: 'self-test', version: '1' };
  const allowed = isDemo
    ? toolCall('execute_sql', JSON.parse(sqlArguments))
    : { method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo } };
  const refused = isDemo ? toolCall('execute_sql', JSON.parse(sqlArguments)) : toolCall(refusedTool, {});
  return [
    await check(`the agent ${isDemo ? 'runs SQL' : 'reaches your server'}`, async () => {
      const { body, status } = await call('ai_agent_prod', allowed);
      if (status === 200 && (!isDemo || body.includes('rows_returned'))) return { found: '200' };
      return { problem: `expected 200, got ${described(status, body)}` };
    }),
    await check(`the frontend may not${isDemo ? '' : ' change anything'}`, async () => {
      const { body, status } = await call('analytics_frontend', refused);
      if (status === 403 && body.includes('insufficient_scope')) return { found: '403 insufficient_scope' };
      return { problem: `expected 403 insufficient_scope, got ${described(status, body)}` };
    }),
    await check('the audit records of both verify', async () => {
      const problem = await verifyAudit(ids);
      return problem === undefined ? {} : { problem };
    }),
  ];
}

async function check(
  says: string,
  run: () => Promise<{ readonly found?: string; readonly problem?: string }>,
): Promise<Check> {
  try {
    const { found, problem } = await run();
    if (problem !== undefined) return { says, problem };
    return { says: found === undefined ? says : `${says}: ${found}` };
  } catch (error) {
    return { says, problem: messageOf(error) };
  }
}

function toolCall(name: string, args: object): object {
  return { method: 'tools/call', params: { name, arguments: args } };
}

/** A token by the client credentials grant (RFC 6749, section 4.4) for the MCP endpoint (RFC 8707). */
async function tokenOf(
  { issuer, mcpUrl }: Pick<EnvironmentFacts, 'issuer' | 'mcpUrl'>,
  login: string,
  scopes: readonly string[],
): Promise<string> {
  const grant = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: scopes.join(' '),
    resource: mcpUrl,
  });
  const { body, status } = await post(`${issuer}/token`, grant.toString(), {
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(login).toString('base64')}`,
    },
  });
  if (status !== 200) throw new Error(`the authorization server answered ${described(status, body)}`);
  return (JSON.parse(body) as { access_token: string }).access_token;
}

const timeoutMs = 10_000;

function post(
  url: string,
  body: string,
  options: { readonly ca?: string; readonly headers: Record<string, string> },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = url.startsWith('https:') ? requestHttps : requestHttp;
    const signal = AbortSignal.timeout(timeoutMs);
    const sent = request(url, { ...options, method: 'POST', agent: false, signal }, (response) => {
      const { headers, statusCode: status = 0 } = response;
      const requestId = String(headers['x-request-id'] ?? '');
      text(response).then((answer) => resolve({ status, requestId, body: answer }), reject);
    });
    sent.on('error', (cause) => reject(signal.aborted ? new Error(`no answer within ${timeoutMs / 1000} s`) : cause));
    sent.end(body);
  });
}

/** The status with the message of an error, where there is one. */
function described(status: number, body: string): string {
  const message = /"message":("(?:[^"\\]|\\.)*")/.exec(body)?.[1];
  return message === undefined ? String(status) : `${status}: ${JSON.parse(message)}`;
}
