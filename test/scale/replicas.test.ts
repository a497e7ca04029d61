// Three gateways behind a load balancer with one Redis: what is good once is good once in all, a limit holds in all, a session goes on at any of them.
import { strict as assert } from 'node:assert';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { createDpopKey } from '../support/dpop.ts';
import { type SessionServer, startSessionServer } from '../support/session-server.ts';
import { until } from '../support/until.ts';
import { type Replicas, startReplicas } from './replicas.ts';

const clients = 300;
const rounds = process.env.SCALE_FULL === undefined ? 2 : 20;
const resource = 'https://mcp.example.com/mcp';
/** Of the bucket: it holds so many at once, and earns none while a test runs. */
const burst = 100;

let sessions: SessionServer;
let cluster: Replicas;

before(async () => {
  sessions = await startSessionServer();
  const sessionRules = [{ allow: { tools: ['whoami'] } }];
  cluster = await startReplicas({
    changes: {
      server: { limits: { connectionsPerAddress: 2000 } },
      authenticators: { corp: { audience: resource } },
      upstreams: {
        superset: { limits: { concurrency: 2000, concurrencyPerClient: 2000, concurrencyPerSubject: 2000 } },
        sessions: { url: sessions.url },
      },
      limits: {
        hundred: { rate: '1/h', burst, per: ['client'] },
        daily: { quota: '50/d', per: ['client'] },
      },
      routes: [
        { path: '/mcp', resource, mcp: { rules: [listDashboards] } },
        { path: '/limited', resource, limits: ['hundred'], mcp: { rules: [listDashboards] } },
        { path: '/quota', resource, limits: ['daily'], mcp: { rules: [listDashboards], denials: 'http' } },
        {
          path: '/sessions',
          resource,
          upstream: 'sessions',
          upstreamPath: '/mcp',
          mcp: { rules: sessionRules, sessionKeyFiles: ['session.key'] },
        },
      ],
    },
  });
});
after(async () => {
  await cluster.close();
  await sessions.close();
});

const call = toolCall('list_dashboards');

test(`one DPoP proof, sent ${clients} times at once through the load balancer, is good once`, async () => {
  const key = await createDpopKey();
  const token = await cluster.scene.issuer.token({ ...key.binding, jti: 'bound' });
  const seenBefore = cluster.scene.upstream.requests.length;
  for (let round = 0; round < rounds; round++) {
    const proof = await key.proof({ token, method: 'POST', url: resource });
    const headers = { authorization: `DPoP ${token}`, dpop: proof };
    const answers = await Promise.all(Array.from({ length: clients }, () => cluster.client().post(call, { headers })));
    const counted = Map.groupBy(answers, ({ status }) => status);
    assert.equal(
      counted.get(200)?.length,
      1,
      `round ${round}: ${[...counted].map(([status, { length }]) => `${length} × ${status}`)}`,
    );
    assert.equal(counted.get(401)?.length, clients - 1);
    for (const { headers: sent } of counted.get(401)!)
      assert.match(String(sent['www-authenticate']), /invalid_dpop_proof/);
  }
  assert.equal(cluster.scene.upstream.requests.length - seenBefore, rounds, 'the upstream saw each proof once');
});

test(`a bucket of ${burst} lets ${burst} of ${clients} clients through, whichever replica they reach`, async () => {
  const seenBefore = cluster.scene.upstream.requests.length;
  const answers = await Promise.all(
    Array.from({ length: clients }, async (_, index) => {
      const authorization = `Bearer ${await cluster.scene.issuer.token({ jti: `limited-${index}` })}`;
      return cluster.client().post(call, { path: '/limited', headers: { authorization } });
    }),
  );
  const refused = answers.filter(({ text }) => text.includes('rate_limited'));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200], 'a model can read the refusals');
  const passed = cluster.scene.upstream.requests.length - seenBefore;
  assert.equal(passed + refused.length, clients);
  assert.ok(Math.abs(passed - burst) <= 1, `${passed} of ${burst}`);
});

test('a quota of 50 a day lets 50 of 200 calls through, spread over the replicas', async () => {
  const authorization = `Bearer ${await cluster.scene.issuer.token({ jti: 'quota' })}`;
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => cluster.client().post(call, { path: '/quota', headers: { authorization } })),
  );
  const counted = Map.groupBy(answers, ({ status }) => status);
  assert.deepEqual([counted.get(200)?.length, counted.get(429)?.length], [50, 150]);
  for (const { headers } of counted.get(429)!) assert.ok(Number(headers['retry-after']) > 0);
});

test('a session that one replica opened goes on at every other', async () => {
  const authorization = `Bearer ${await cluster.scene.issuer.token({ jti: 'session' })}`;
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'scale', version: '1' } };
  const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params };
  const first = cluster.client({ replica: cluster.replicas[0]! });
  const opened = await first.post(initialize, { path: '/sessions', headers: { authorization } });
  assert.equal(opened.status, 200, opened.text);
  const session = String(opened.headers['mcp-session-id']);
  const headers = { authorization, 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' };
  for (const replica of cluster.replicas) {
    const answer = await cluster.client({ replica }).post(toolCall('whoami'), { path: '/sessions', headers });
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.text.includes(sessions.sessions()[0]!), 'it is the same session');
  }
});

test('a revocation acts at every replica within a second of its file', async () => {
  const token = await cluster.scene.issuer.token({ jti: 'to-be-revoked' });
  const headers = { authorization: `Bearer ${token}` };
  const each = cluster.replicas.map((replica) => cluster.client({ replica }));
  for (const client of each) assert.equal((await client.post(call, { headers })).status, 200);
  await Promise.all(
    cluster.replicas.map(({ folder }) => writeFile(join(folder, 'revoked.yaml'), 'jti: [to-be-revoked]\n')),
  );
  const writtenMs = performance.now();
  const took = await Promise.all(
    each.map(async (client) => {
      await until(async () => (await client.post(call, { headers })).status === 401, 'the revoked token is refused');
      return performance.now() - writtenMs;
    }),
  );
  console.log(`# revoked after ${took.map((ms) => Math.round(ms)).join(', ')} ms`);
});

test('the replicas are restarted one after the other under load, and no request fails', async () => {
  const authorization = `Bearer ${await cluster.scene.issuer.token({ jti: 'rolling' })}`;
  const stop = new AbortController();
  const statuses = new Map<number, number>();
  const load = Array.from({ length: 50 }, async () => {
    const client = cluster.client();
    while (!stop.signal.aborted) {
      const { status } = await client.post(call, { headers: { authorization } });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });
  for (const replica of cluster.replicas) {
    assert.equal(await replica.running.stop('SIGTERM'), 0, replica.running.output());
    await replica.start();
  }
  stop.abort();
  await Promise.all(load);
  assert.deepEqual([...statuses.keys()], [200], JSON.stringify([...statuses]));
  console.log(`# ${statuses.get(200)} calls during three restarts`);
});
