// Listeners on unix sockets: clients behind one have no address, unless a proxy that is trusted there states it.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { createTestCertificates } from '../support/certificates.ts';
import { apiKey, type Changes, type Configuration, configure, keyEntry, yamlOf } from '../support/configuration.ts';
import { type AuditRecord, startTestGateway } from '../support/gateway.ts';
import { type Scenario, type Surroundings, startScenario } from '../support/scenario.ts';

interface SocketScenario extends Scenario {
  /** Sends a GET to `/api/x` over the socket, with the reporting tool's key where the route is the scenario's own. */
  send(headers?: Readonly<Record<string, string>>, connect?: Agent.Options['connect']): Promise<number>;
  /** The record of the last request, once it is complete. */
  completed(): Promise<AuditRecord>;
}

async function start(
  t: Test,
  server: Configuration,
  changes: Changes = {},
  more: Surroundings = {},
): Promise<SocketScenario> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const socketPath = join(directory, 'gateway.sock');
  const withKey = changes.routes === undefined;
  let sent = 0;
  const scenario = await startScenario(t, { ...changes, server: { listen: `unix:${socketPath}`, ...server } }, more);
  t.equal(scenario.gateway.publicAddress.address, `unix:${socketPath}`);
  return {
    ...scenario,
    async send(headers = {}, connect = {}) {
      const dispatcher = new Agent({ connect: { ...connect, socketPath } });
      const origin = more.tls === undefined ? 'http://localhost' : 'https://localhost';
      const { body, statusCode } = await request(`${origin}/api/x`, {
        dispatcher,
        headers: withKey ? { 'x-api-key': apiKey, ...headers } : headers,
      });
      await body.dump();
      await dispatcher.close();
      sent += 1;
      return statusCode;
    },
    completed: async () => (await scenario.matchingRecords(sent, ({ stage }) => stage === 'completed')).at(-1)!,
  };
}

/** The reporting tool's key, from these ranges only. */
const keyFrom = (networks: readonly string[]): Changes => ({
  authenticators: { keys: { type: 'apiKey', header: 'x-api-key', keys: [keyEntry('k1', apiKey, { networks })] } },
});

t.test(
  'plain HTTP: the client has no address, and the upstream is told none, whatever the client states',
  async (t) => {
    const scenario = await start(t, {});
    t.equal(await scenario.send({ 'x-forwarded-for': '198.51.100.7', forwarded: 'for=198.51.100.7' }), 200);
    t.match(await scenario.completed(), { stage: 'completed', client: { address: 'unix:' } });
    const [received] = scenario.upstream.requests;
    t.same(received?.header('x-forwarded-for'), []);
    t.same(received?.header('forwarded'), []);
    t.same(received?.header('x-forwarded-proto'), ['https']);
  },
);

t.test('no range holds a client without an address', async (t) => {
  const scenario = await start(t, {}, keyFrom(['0.0.0.0/0', '::/0']));
  t.equal(await scenario.send({ 'x-forwarded-for': '127.0.0.1' }), 401);
  t.match(await scenario.completed(), { decision: 'deny', reason: 'invalid_api_key', client: { address: 'unix:' } });
  t.equal(scenario.upstream.requests.length, 0);
});

t.test('a proxy that is trusted on the socket states the address of the client', async (t) => {
  const scenario = await start(t, { trustedProxies: ['unix:', '10.0.0.0/8'] }, keyFrom(['198.51.100.0/24']));
  t.equal(await scenario.send({ 'x-forwarded-for': '203.0.113.1, 198.51.100.7, 10.1.1.1' }), 200);
  t.match(await scenario.completed(), { client: { address: '198.51.100.7' } });
  t.same(scenario.upstream.requests[0]?.header('x-forwarded-for'), ['198.51.100.7']);
  t.equal(await scenario.send({ 'x-forwarded-for': '198.51.100.7, unix:' }), 200, 'behind two sockets');
  t.equal(await scenario.send({ 'x-forwarded-for': '203.0.113.1' }), 401);
  t.equal(await scenario.send(), 401, 'it may state none');
  t.match(await scenario.completed(), { client: { address: 'unix:' } });
});

t.test('other trusted proxies do not make the peers of the socket trusted', async (t) => {
  const scenario = await start(t, { trustedProxies: ['0.0.0.0/0', '::/0'] });
  t.equal(await scenario.send({ 'x-forwarded-for': '198.51.100.7' }), 200);
  t.match(await scenario.completed(), { client: { address: 'unix:' } });
});

t.test('unix: on a TCP listener trusts nobody', async (t) => {
  const scenario = await startScenario(t, { server: { trustedProxies: ['unix:'] } });
  const answer = await scenario.reporting.send({ path: '/api/x', headers: { 'x-forwarded-for': '198.51.100.7' } });
  t.equal(answer.status, 200);
  t.match(await scenario.recordOf(answer), { client: { address: '127.0.0.1' } });
});

t.test('TLS and client certificates are the same on a socket', async (t) => {
  const certificates = await createTestCertificates();
  const { agent, authority } = certificates;
  const scenario = await start(
    t,
    {},
    { routes: [{ path: '/api/*', authenticate: 'workloads' }] },
    { tls: certificates },
  );
  const trust = { ca: authority.certificatePem, servername: 'mcp.example.com' };
  t.equal(await scenario.send({}, { ...trust, cert: agent.certificatePem, key: agent.keyPem }), 200);
  t.match(await scenario.completed(), { principal: { clientId: 'ai_agent_prod' }, client: { address: 'unix:' } });
  t.equal(await scenario.send({}, trust), 401);
});

t.test('a proxy on the socket may state client certificates where the configuration says so', async (t) => {
  const { agent, files } = await createTestCertificates();
  const stated = { 'client-cert': `:${agent.certificatePem.replace(/-----.*?-----|\s/g, '')}:` };
  const changes = {
    authenticators: {
      workloads: { type: 'mtls', allow: [{ commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod' }] },
    },
    routes: [{ path: '/api/*', authenticate: 'workloads' }],
  };
  for (const [from, status] of [
    ['unix:', 200],
    ['127.0.0.1/32', 401],
  ] as const) {
    const server = { clientCertificateHeader: { from: [from], clientCaFile: 'clients-ca.crt' } };
    const scenario = await start(t, server, changes, { files });
    t.equal(await scenario.send(stated), status, from);
  }
});

t.test(
  'the Host of a loopback name is served, as proxies and curl send it over a socket; others are not',
  async (t) => {
    const scenario = await start(t, {});
    t.equal(await scenario.send({ host: 'localhost' }), 200);
    t.equal(await scenario.send({ host: 'mcp.example.com' }), 200);
    t.equal(await scenario.send({ host: 'elsewhere.example' }), 421);
  },
);

t.test('a reload does not move the listener to another socket', async (t) => {
  const scenario = await start(t, {});
  await scenario.reload({ server: { listen: 'unix:/tmp/portcullis-elsewhere.sock' } });
  t.match((await scenario.records()).at(-1), {
    detail: { event: 'reload refused', problem: /^server\.listen cannot change/ },
  });
  t.equal(await scenario.send(), 200);
});

t.test('the admin listener may be a socket as well; both are gone at the end', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const socketPath = join(directory, 'admin.sock');
  const { close } = await startTestGateway({
    yaml: yamlOf(
      configure(
        { upstreamUrl: 'http://127.0.0.1:9', issuer: 'http://127.0.0.1:9' },
        {
          server: { listen: `unix:${join(directory, 'gateway.sock')}` },
          admin: { listen: `unix:${socketPath}` },
        },
      ),
    ),
  });
  const dispatcher = new Agent({ connect: { socketPath } });
  const { body, statusCode } = await request('http://localhost/livez', { dispatcher });
  t.same([statusCode, await body.text()], [200, 'ok\n']);
  await dispatcher.close();
  await close();
  t.same(await readdir(directory), []);
});
