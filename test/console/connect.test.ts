// Connect page: what clients are told, and the check of the listener as a client sees it.
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { startScenario } from '../support/scenario.ts';

t.test('an endpoint with TLS', async (t) => {
  const { admin, records } = await startScenario(t, {}, { tls: true });
  const requests = async () => (await records()).filter(({ stage }) => stage === 'completed');
  const page = await (await admin('/connect')).text();
  t.match(page, 'https://mcp.example.com/mcp');
  for (const client of [
    'Claude Code',
    'Claude Desktop',
    'Cursor',
    'VS Code',
    'Codex',
    'MCP Inspector',
    'Python',
    'TypeScript',
  ])
    t.match(page, `<summary>${client}</summary>`);
  t.same(await requests(), [], 'looking at the page asks nobody');

  const checked = await (await admin('/connect?check=%2Fmcp')).text();
  t.match(checked, 'The certificate is for mcp.example.com');
  t.match(checked, 'The answer says where to log in.');
  t.match(checked, 'They name this resource');
  t.match(await requests(), [{ outcome: 'refused', status: 401 }]);

  const pem = await admin('/connect/ca.pem');
  t.equal(pem.headers.get('content-type'), 'application/x-pem-file');
  const root = new X509Certificate(await pem.text());
  t.ok(root.checkIssued(root), 'the root of a chain that has it not is found among the authorities of clients');
  t.match(page, '&#34;NODE_EXTRA_CA_CERTS&#34;: &#34;portcullis-ca.pem&#34;');
  t.match(page, 'Put into <code>.mcp.json</code> of a project:');
  t.match(page, '<p>Then: <code>NODE_EXTRA_CA_CERTS&#61;portcullis-ca.pem code .</code></p>');
  t.match(page, 'codex mcp login superset<', 'the server has the name of its upstream');
  t.notMatch(await (await admin('/connect?check=nowhere')).text(), 'What a client sees at');
});

t.test('an endpoint whose certificate is for another name, and one without TLS', async (t) => {
  const elsewhere = await startScenario(t, { server: { publicUrl: 'https://elsewhere.example' } }, { tls: true });
  const wrong = await (await elsewhere.admin('/connect?check=%2Fmcp')).text();
  t.match(wrong, 'The certificate is not for elsewhere.example');

  const plain = await startScenario(t);
  t.match(await (await plain.admin('/connect?check=%2Fmcp')).text(), 'speaks plain HTTP');
  t.equal((await plain.admin('/connect/ca.pem')).status, 404);
});

t.test('an endpoint whose root is not known to the gateway', async (t) => {
  const certificates = await createTestCertificates();
  const files = { ...certificates.files, 'clients-ca.crt': certificates.stranger.certificatePem };
  const { admin } = await startScenario(t, {}, { tls: { ...certificates, files } });
  t.equal((await admin('/connect/ca.pem')).status, 404);
  t.notMatch(await (await admin('/connect')).text(), 'NODE_EXTRA_CA_CERTS');
});

t.test('a listener that demands a certificate of the client', async (t) => {
  const { admin } = await startScenario(t, { server: { tls: { clientCertificates: 'required' } } }, { tls: true });
  t.match(await (await admin('/connect?check=%2Fmcp')).text(), /demands a client certificate|did not answer/);
});

t.test('a route whose name is a long path is checked and shown by it', async (t) => {
  const path = `/${'long-'.repeat(60)}/mcp`;
  const { admin } = await startScenario(t, { routes: ['/mcp', path].map((each) => ({ path: each, mcp: {} })) });
  const ask = async (parameter: string) =>
    (await admin(`/connect?${new URLSearchParams({ [parameter]: path })}`)).text();
  for (const parameter of ['route', 'check']) {
    const page = await ask(parameter);
    t.match(page, `<h2>${path}</h2>`);
    t.notMatch(page, '<h2>/mcp</h2>', 'the other one is not shown');
  }
  t.match(await ask('check'), 'What a client sees at');
});
