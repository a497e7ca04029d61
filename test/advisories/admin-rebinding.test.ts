// Attack: a page of a stranger binds its own name to the address of the admin listener (DNS rebinding, CVE-2025-66414), and the browser of somebody
// inside lets it read metrics and status.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t, { server: { allowedHosts: ['metrics.example.com'] } }, { logToFile: true });
const { adminPort } = scenario;

const get = (path: string, headers: readonly string[], version = '1.1') =>
  talk(adminPort, `GET ${path} HTTP/${version}\r\n${[...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`);

t.test('a page that has bound its name to the admin listener reads nothing', async (t) => {
  const hosts = [
    'rebound.evil.example',
    `rebound.evil.example:${adminPort}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
  ];
  hosts.push(
    'evil.example.',
    'a@localhost',
    'localhost/',
    'metrics.example.com.evil.example',
    'svc.evil.example',
    '1.2.3.4.5',
  );
  for (const path of ['/metrics', '/status', '/livez', '/readyz', '/.well-known/jwks.json', '/nothing']) {
    for (const host of hosts) {
      const { answers } = await get(path, [`Host: ${host}`]);
      t.match(answers, [{ status: 421, headers: { 'content-type': /^text\/plain/ } }], `${host} at ${path}`);
      t.match(answers[0]!.body, /^this host name is not served here; [^\n]*\n$/);
    }
  }
  t.match(await scenario.log(), /"host":"rebound.evil.example"/);
});

t.test('operators, probes and scrapers reach it', async (t) => {
  const hosts = [
    `127.0.0.1:${adminPort}`,
    'localhost',
    'LOCALHOST:1',
    '[::1]:9090',
    '10.1.2.3:9090',
    '[fd00::7]:9090',
    '',
  ];
  hosts.push('gw-1:9090', 'portcullis.tools.svc:9090', 'portcullis.tools.svc.cluster.local:9090', 'gw.internal');
  hosts.push('metrics.example.com:9090', 'mcp.example.com');
  for (const host of hosts) t.match((await get('/livez', [`Host: ${host}`])).answers, [{ status: 200 }], host);
  t.match((await get('/livez', [], '1.0')).text, /^HTTP\/1.1 200 /, 'HTTP/1.0 without Host');
});

t.test('one address does not take all connections of the admin listener', async (t) => {
  const from = (localAddress: string) => {
    const socket = connect({ port: adminPort, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    return socket;
  };
  const held = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const socket = from('127.0.0.2');
      await once(socket, 'connect');
      return socket;
    }),
  );
  const above = from('127.0.0.2');
  await once(above.resume(), 'close');
  t.match((await get('/livez', ['Host: localhost'])).answers, [{ status: 200 }], 'a probe from elsewhere is answered');
  const labels = { route: 'none', outcome: 'refused', status: 'connections_per_address' };
  t.equal(await scenario.metric('portcullis_requests_total', labels), 1);
  for (const socket of held) socket.destroy();
});
