// Every combination of token, certificate and key on every form of `authenticate`: status, code, challenge, silence of the upstream, record.
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import type { ClientAnswer, TestClient } from '../support/client.ts';
import { keyEntry } from '../support/configuration.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import {
  allowedCertificates,
  type CertificateState,
  certificatesByState,
  challengeOf,
  clients,
  combinations,
  type Expectation,
  expect,
  type Listed,
  type MatrixRoute,
  type Presented,
  routeSections,
  routes,
} from './matrix-oracle.ts';

interface Cell {
  readonly route: MatrixRoute;
  readonly presented: Presented;
  readonly expected: Expectation;
  readonly answer: ClientAnswer;
}

const newKey = () => `sk_${randomBytes(32).toString('base64url')}`;

const issuer = await createFakeIssuer();
t.teardown(issuer.close);
const certificates = await createTestCertificates();
const keys = { good: newKey(), expired: newKey() };
const hourAgo = Math.floor(Date.now() / 1000) - 3600;
const aud = routes.map(({ name }) => `https://mcp.example.com/${name}`);
const tokens: Readonly<Partial<Record<Presented['token'], string>>> = {
  good: await issuer.token({ aud, jti: 'token-good' }),
  expired: await issuer.token({ aud, jti: 'token-expired', iat: hourAgo - 300, exp: hourAgo }),
  'wrong-audience': await issuer.token({ aud: 'https://mcp.example.com/another', jti: 'token-wrong-audience' }),
  'wrong-issuer': await issuer.token({ aud, iss: `${issuer.issuer}/` }),
  'under-scoped': await issuer.token({ aud, jti: 'token-under-scoped', scope: 'queries:execute' }),
};
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
    routes: routeSections,
  },
  { issuer, tls: certificates },
);
const { upstream } = scenario;

const certificateOf = certificatesByState(certificates);

function credentialHeaders({ token, key, keyPlace }: Presented): Record<string, string> {
  const headers: Record<string, string> = {};
  if (token !== 'no') headers.authorization = `Bearer ${tokens[token]}`;
  if (key !== 'no' && keyPlace === 'header') headers['x-api-key'] = keys[key];
  if (key !== 'no' && keyPlace === 'bearer') headers.authorization = `Bearer ${keys[key]}`;
  return headers;
}

/** Sends every cell over the few connections of its certificate. */
async function sendAll(): Promise<Cell[]> {
  const cells: Promise<Cell>[] = [];
  const opened = new Map<CertificateState, TestClient>();
  for (const presented of combinations()) {
    const client =
      opened.get(presented.certificate) ??
      scenario.connect({ certificate: certificateOf[presented.certificate], connections: 4 });
    opened.set(presented.certificate, client);
    for (const route of routes) {
      const request = { path: `/${route.name}`, headers: credentialHeaders(presented) };
      cells.push(
        client.send(request).then((answer) => ({ route, presented, expected: expect(route, presented), answer })),
      );
    }
  }
  return Promise.all(cells);
}

const cells = await sendAll();
const nameOf = ({ route, presented }: Cell) =>
  `${route.name}: token ${presented.token}, certificate ${presented.certificate}, key ${presented.key} in ${presented.keyPlace}`;

/** One assertion over all cells, which shows those that are wrong. */
function every(t: Test, actual: (cell: Cell) => unknown, wanted: (cell: Cell) => unknown, about: string): void {
  const wrong = cells.flatMap((cell) => {
    const [found, expected] = [actual(cell), wanted(cell)];
    return JSON.stringify(found) === JSON.stringify(expected) ? [] : [{ cell: nameOf(cell), found, expected }];
  });
  t.same(wrong.slice(0, 10), [], `${about}, in ${cells.length} cells`);
}

t.test('status and stable code', async (t) => {
  t.ok(cells.length >= 1000, 'the matrix is whole');
  every(
    t,
    ({ answer }) => [answer.status, answer.status === 200 ? undefined : JSON.parse(answer.text).code],
    ({ expected }) => [expected.status, expected.code],
    'status and code',
  );
});

t.test('the challenge is that of the route and the denial, to the byte', async (t) => {
  every(
    t,
    ({ answer }) => answer.headers['www-authenticate'],
    ({ route, expected }) => challengeOf(route, expected),
    'the challenge',
  );
});

t.test('the same denial has the same body whatever was wrong with the credential, and is not stored', async (t) => {
  const bodies = new Map<string, string>();
  every(
    t,
    ({ route, presented, answer, expected }) => {
      if (expected.code === undefined) return true;
      // Of two demands that can be unmet, the message names the one that is.
      const bare = presented.token === 'no' && presented.key === 'no';
      const denial = `${route.name} ${expected.code} ${expected.code === 'credentials_required' && bare}`;
      const body = answer.text.replace(answer.id, '');
      const first = bodies.get(denial) ?? body;
      bodies.set(denial, first);
      const kind = answer.headers['content-type'] === 'application/problem+json';
      return kind && answer.headers['cache-control'] === 'no-store' && body === first;
    },
    () => true,
    'refusals of one kind look alike',
  );
});

t.test('the upstream saw what was allowed, once each, and nothing else', async (t) => {
  const allowed = cells.filter(({ expected }) => expected.status === 200);
  t.same(
    upstream.requests.map((request) => `${request.url} ${request.header('x-request-id').join()}`).sort(),
    allowed.map(({ route, answer }) => `/${route.name} ${answer.id}`).sort(),
  );
  t.ok(upstream.requests.every((request) => request.header('authorization').length === 0));
  t.ok(upstream.requests.every((request) => request.header('x-api-key').length === 0));
});

t.test('the records say what was presented, who it was, and why not', async (t) => {
  await scenario.matchingRecords(cells.length, ({ stage }) => stage === 'completed');
  const byId = Map.groupBy(await scenario.records(), ({ id }) => id);
  const recordsOf = ({ answer }: Cell): AuditRecord[] => byId.get(answer.id) ?? [];
  every(
    t,
    (cell) => recordsOf(cell).map(({ stage, outcome }) => [stage, outcome]),
    ({ expected }) =>
      expected.code === undefined
        ? [
            ['decided', undefined],
            ['completed', 'completed'],
          ]
        : [['completed', 'refused']],
    'two records where it was allowed, one where it was refused',
  );
  every(
    t,
    (cell) => {
      const { route, decision, reason, status, credentials, principal, scopes } = recordsOf(cell).at(-1)!;
      return { route, decision, reason, status, credentials, principal, granted: scopes?.granted };
    },
    ({ route, presented, expected }) => ({
      route: route.name,
      decision: expected.code === undefined ? 'allow' : 'deny',
      reason: expected.code,
      status: expected.status,
      credentials:
        expected.credentials.length === 0
          ? undefined
          : expected.credentials.map((listed) => credentialRecord(listed, presented)),
      principal: expected.principal && principalRecord(expected.principal, presented),
      granted: route.alternatives === undefined ? [] : expected.granted,
    }),
    'route, decision, reason, status, credentials, principal, granted scopes',
  );
  const all = JSON.stringify([...byId.values()]);
  for (const secret of [...Object.values(tokens), ...Object.values(keys)]) t.notOk(all.includes(secret), 'no secret');
});

t.test('the metrics count each refusal and each allowance on its route', async (t) => {
  const metrics = await scenario.metrics();
  for (const route of routes) {
    const statuses = Map.groupBy(
      cells.filter((cell) => cell.route === route),
      ({ expected }) =>
        `outcome="${expected.code === undefined ? 'completed' : 'refused'}",status="${expected.status}"`,
    );
    for (const [labels, counted] of statuses) {
      t.match(metrics, `portcullis_requests_total{route="${route.name}",${labels}} ${counted.length}\n`);
    }
  }
});

function credentialRecord([kind, standing]: Listed, presented: Presented) {
  const kinds = { token: 'access-token', certificate: 'client-certificate', key: 'api-key' };
  const authenticators = { token: 'corp', certificate: 'workloads', key: 'keys' };
  const ids = { token: `token-${presented.token}`, certificate: fingerprint(presented), key: `key-${presented.key}` };
  return {
    kind: kinds[kind],
    authenticator: standing === 'held' ? authenticators[kind] : undefined,
    id: standing === 'unknown' ? undefined : ids[kind],
  };
}

function principalRecord(kind: 'token' | 'certificate' | 'key', presented: Presented) {
  switch (kind) {
    case 'token':
      return {
        kind: 'oauth',
        issuer: issuer.issuer,
        ...subjectAndClient(clients.token),
        credentialId: `token-${presented.token}`,
      };
    case 'key':
      return {
        kind: 'api-key',
        issuer: 'keys',
        ...subjectAndClient(clients.key),
        credentialId: `key-${presented.key}`,
      };
    case 'certificate': {
      const named: Partial<Record<Presented['certificate'], object>> = {
        good: { subject: 'client-ai-agent-1', clientId: 'ai_agent_prod' },
        'other-client': { subject: 'client-reporting-1', clientId: 'reporting_tool' },
        unlisted: { subject: 'client-ai-agent-2' },
      };
      const credentialId = fingerprint(presented);
      return { kind: 'mtls', issuer: 'workloads', ...named[presented.certificate], credentialId };
    }
  }
}

function subjectAndClient({ subject, clientId }: { subject: string; clientId: string }) {
  return { subject, clientId };
}

function fingerprint({ certificate }: Presented): string | undefined {
  const issued = certificateOf[certificate];
  return issued && fingerprintOf(issued);
}
