// Explanations of real credentials, held to the live gateway: the same answer, and the same request to the upstream.
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { explainRequest } from '../../src/review/explain/explain-request.ts';
import type { RequestExplanation } from '../../src/review/explain/request-explanation.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { readForm, requestForm } from '../../src/review/request-form.ts';
import {
  allowedCertificates,
  type CertificateState,
  certificatesByState,
  combinations,
  type Presented,
  routeSections,
  routes,
} from '../gateway/matrix-oracle.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { type TestClient, toolCall } from '../support/client.ts';
import { keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const keys = { good: `sk_${'g'.repeat(43)}`, expired: `sk_${'e'.repeat(43)}` };
const certificates = await createTestCertificates();
const scenario = await startScenario(
  t,
  {
    authenticators: {
      workloads: {
        allow: allowedCertificates,
      },
      keys: {
        keys: [
          keyEntry('key-good', keys.good),
          keyEntry('key-expired', keys.expired, { scopes: ['dashboards:read'], expires: '2020-01-01' }),
        ],
      },
    },
    routes: [
      ...routeSections,
      {
        name: 'mcp',
        path: '/mcp',
        authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] },
        mcp: {
          preset: 'superset',
          rules: [
            { name: 'trial', mode: 'report', deny: { tools: ['list_*'] } },
            {
              name: 'sql',
              allow: { tools: ['execute_sql'] },
              require: { scopes: ['queries:execute'], authenticatedBy: ['workloads'], when: 'args.limit <= 1000' },
              message: 'Ask for at most 1000 rows.',
            },
          ],
        },
      },
    ],
  },
  { tls: certificates },
);
const hourAgo = Math.floor(Date.now() / 1000) - 3600;
const aud = [...routes.map(({ name }) => name), 'mcp'].map((name) => `https://mcp.example.com/${name}`);
const tokens: Readonly<Partial<Record<Presented['token'], string>>> = {
  good: await scenario.token({ aud }),
  expired: await scenario.token({ aud, iat: hourAgo - 300, exp: hourAgo }),
  'wrong-audience': await scenario.token({ aud: 'https://mcp.example.com/another' }),
  'wrong-issuer': await scenario.token({ aud, iss: `${scenario.issuer.issuer}/` }),
  'under-scoped': await scenario.token({ aud, scope: 'queries:execute' }),
};
const certificateOf = certificatesByState(certificates);

const policyFile = await openPolicyFile(join(scenario.directory, 'gateway.yaml'), { env: {} });
t.teardown(() => policyFile.close());
const clients = new Map<CertificateState, TestClient>();

interface Call {
  readonly form: object;
  readonly request: { readonly method: string; readonly path: string; readonly body?: string };
}

const toolOf = (tool: string, args: object): Call => ({
  form: { route: 'mcp', tool, args },
  request: { method: 'POST', path: '/mcp', body: JSON.stringify(toolCall(tool, args)) },
});
const get = (path: string): Call => ({ form: { method: 'GET', path }, request: { method: 'GET', path } });
const mcpCalls = [
  toolOf('list_dashboards', {}),
  toolOf('execute_sql', { limit: 10 }),
  toolOf('execute_sql', { limit: 5000 }),
  toolOf('execute_sql', {}),
  toolOf('no_such_tool', {}),
];

function explained({ token, key, keyPlace, certificate }: Presented, { form }: Call): Promise<RequestExplanation> {
  const issued = certificateOf[certificate];
  const presented = {
    token: token === 'no' ? (keyPlace === 'bearer' && key !== 'no' ? keys[key] : undefined) : tokens[token],
    key: key === 'no' || keyPlace === 'bearer' ? undefined : keys[key],
    certificate: issued && {
      certificate: new X509Certificate(issued.certificatePem),
      chain: [],
      authorizationError: undefined,
    },
  };
  const request = { form: readForm(requestForm, { call: form }), message: undefined, presented, offline: false };
  return explainRequest(policyFile, request, Date.now);
}

async function live({ token, key, keyPlace, certificate }: Presented, { request }: Call) {
  const client =
    clients.get(certificate) ?? scenario.connect({ certificate: certificateOf[certificate], connections: 4 });
  clients.set(certificate, client);
  const headers: Record<string, string> = {};
  if (token !== 'no') headers.authorization = `Bearer ${tokens[token]}`;
  if (key !== 'no' && keyPlace === 'header') headers['x-api-key'] = keys[key];
  if (key !== 'no' && keyPlace === 'bearer') headers.authorization = `Bearer ${keys[key]}`;
  if (request.body !== undefined) {
    headers['content-type'] = 'application/json';
    headers.accept = 'application/json, text/event-stream';
  }
  return client.send({ ...request, headers });
}

const fromGateway = ['content-type', 'www-authenticate', 'cache-control'] as const;

t.test('explain gives the answer of the wire, on the matrix of credentials and routes', async (t) => {
  // Every combination of credentials, each on one route and in one call, in turn.
  const cells = combinations().flatMap((presented, index) => {
    const route = routes[index % routes.length]!;
    return [get(`/${route.name}`), mcpCalls[index % mcpCalls.length]!].map((call) => ({ presented, call }));
  });
  const wrong: unknown[] = [];
  const seen = new Set<string>();
  await Promise.all(
    cells.map(async ({ presented, call }) => {
      const [answer, explanation] = await Promise.all([live(presented, call), explained(presented, call)]);
      const cell = `${JSON.stringify(presented)} ${JSON.stringify(call.form)}`;
      seen.add(explanation.code ?? 'allowed');
      const { answer: own } = explanation;
      const wire = {
        status: answer.status,
        ...Object.fromEntries(fromGateway.map((name) => [name, answer.headers[name]])),
        body: answer.text.replace(answer.id, 'request-id'),
      };
      const told =
        own === undefined
          ? { forwarded: true }
          : {
              status: own.status,
              ...Object.fromEntries(fromGateway.map((name) => [name, own.headers[name]])),
              body: own.body,
            };
      const isForwarded = scenario.upstream.requests.some((each) => each.header('x-request-id').join() === answer.id);
      const expected = isForwarded ? { forwarded: true } : wire;
      // The id of the live message is its own.
      const same = (value: object) => JSON.stringify(value).replaceAll(/\\"id\\":[^,]*/g, '');
      if (same(told) !== same(expected)) wrong.push({ cell, told, expected });
    }),
  );
  t.same(wrong.slice(0, 5), [], `${cells.length} cells`);
  t.ok(cells.length >= 200, `${cells.length} cells`);
  for (const code of ['allowed', 'invalid_token', 'invalid_api_key', 'invalid_certificate', 'ambiguous_credentials'])
    t.ok(seen.has(code), code);
  for (const code of ['credentials_required', 'insufficient_scope', 'denied', 'condition_error'])
    t.ok(seen.has(code), code);
});

t.test('the upstream gets what the explanation says', async (t) => {
  const presented: Presented = { token: 'good', certificate: 'good', key: 'no', keyPlace: 'header' };
  const call = toolOf('list_dashboards', {});
  const [answer, { upstream, decision }] = [await live(presented, call), await explained(presented, call)];
  const got = scenario.upstream.requests.find((each) => each.header('x-request-id').join() === answer.id)!;
  for (const [name, value] of upstream!.headers) {
    if (name === 'x-request-id') continue;
    t.same(got.header(name.toLowerCase()), [value], name);
  }
  t.equal(upstream!.url, `${scenario.upstream.url}/mcp`);
  t.match(decision!.parts[0]!.rules[0], { rule: 'trial', outcome: 'reports', decision: { allow: false } });
});

t.test('a refused credential says what it has and what was wanted', async (t) => {
  const no: Presented = { token: 'no', certificate: 'no', key: 'no', keyPlace: 'header' };
  const why = async (presented: Partial<Presented>, call = mcpCalls[0]!) =>
    (await explained({ ...no, ...presented }, call)).credentials.map(({ state, reason, why }) => [state, reason, why]);
  t.match(await why({ token: 'expired' }), [['refused', 'expired', /^it expired at .*, 60 min before the request$/]]);
  t.match(await why({ token: 'wrong-audience' }), [
    ['refused', 'audience', 'its audience is https://mcp.example.com/another; wanted: https://mcp.example.com/mcp'],
  ]);
  t.match(await why({ token: 'wrong-issuer' }), [['refused', 'issuer', /byte for byte/]]);
  t.match(await why({ token: 'good' }), [['verified', undefined, /signature/]]);
  t.match(await why({ key: 'expired' }), [['refused', 'expired', 'it expired at 2020-01-01T00:00:00.000Z']]);
  t.match(await why({ certificate: 'other-authority' }), [['refused', 'untrusted', /no chain leads/]]);
  t.match(await why({ certificate: 'unlisted', token: 'good' }), [
    ['refused', 'identity', /tried: workloads.allow\[0\] commonName client-ai-agent-1, workloads.allow\[1\]/],
    ['not_looked_at', undefined, /not looked at/],
  ]);
  t.match(await why({ certificate: 'good', token: 'good' }), [
    ['verified', undefined, /allow\[0\] commonName client-ai-agent-1 of "workloads"/],
    ['verified', undefined, /signature/],
  ]);
});
