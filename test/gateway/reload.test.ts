// A reload as an operator sees it: all of it comes into force, or nothing of it does but the record of its refusal.
import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';

const server = 'server: {listen: "127.0.0.1:0", publicUrl: "https://mcp.example.com"}\nadmin: {listen: "127.0.0.1:0"}';
const routes = 'routes: [{path: /health, authenticate: none, respond: {text: ok}}]';
const yamlOf = (more = '') => `version: 1\n${server}\n${routes}\n${more}\n`;

async function start(t: Test, yaml = yamlOf()): Promise<TestGateway> {
  const gateway = await startTestGateway({ yaml });
  t.teardown(() => gateway.close());
  return gateway;
}

const readiness = async ({ adminPort }: TestGateway) => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).text();

t.test('a refused reload that names a new, unreachable issuer asks nobody and leaves the gateway ready', async (t) => {
  let asked = 0;
  const issuer = createServer((request) => {
    asked += 1;
    request.socket.destroy();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => issuer.once('listening', resolve));
  t.teardown(() => issuer.close());
  const { port } = issuer.address() as { port: number };
  const gateway = await start(t);
  await gateway.reload(
    yamlOf(`authenticators: {corp: {type: jwt, issuer: "http://127.0.0.1:${port}/", audience: "https://mcp.example.com/x"}}
audit: {sinks: [{type: file, path: gateway.yaml/audit.jsonl}]}`),
  );
  t.match(await gateway.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reload refused'), {
    detail: { problem: /audit/ },
  });
  t.equal(await readiness(gateway), 'ready\n');
  t.notMatch(await gateway.metrics(), /portcullis_key_set_(age_seconds|refresh_failures_total)\{/);
  t.equal(asked, 0);
});
