// Credentials page: keys with their use and end, certificates, issuers, the revocation list.
import t from 'tap';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const day = 86_400_000;
const iso = (ms: number) => new Date(ms).toISOString().slice(0, 10);

t.test('keys in use, ended, revoked and unused, beside certificates and an issuer', async (t) => {
  const other = `sk_${'o'.repeat(43)}`;
  const { admin, agent, anybody, reporting } = await startScenario(
    t,
    {
      revocation: { file: 'revoked.yaml' },
      authenticators: {
        keys: {
          sunset: iso(Date.now() + 20 * day),
          migrationGuide: 'https://wiki.example/keys',
          keys: [
            keyEntry('k1', apiKey),
            keyEntry('<b>old</b>', other, { expires: '2020-01-01', clientId: 'old' }),
            keyEntry('stolen', `sk_${'s'.repeat(43)}`),
          ],
        },
      },
    },
    { tls: true, files: { 'revoked.yaml': 'keyIds: [stolen]\njti: ["<i>j</i>"]\n' } },
  );
  await agent.call('list_dashboards');
  await reporting.call('list_dashboards');
  await anybody.call('list_dashboards');
  const page = await (await admin('/credentials')).text();
  t.match(page, '1 of 3 keys used');
  const rowOf = (key: string) =>
    new RegExp(`<tr[^>]*><th[^>]*><code>${key}</code>[\\s\\S]*?</tr>`).exec(page)?.[0] ?? '';
  t.match(rowOf('k1'), 'used, and no token seen: register the client');
  t.match(rowOf('k1'), 'ends soon', 'the sunset of the authenticator comes before the end of the key');
  t.match(rowOf('stolen'), 'revoked');
  t.match(rowOf('&#60;b&#62;old&#60;/b&#62;'), 'expired');
  t.notMatch(page, '<b>old');
  t.notMatch(page, /sha256:[0-9a-f]{64}/, 'no hash of a key');
  t.match(page, '<code>server.tls.certFile</code>');
  t.match(page, 'commonName client-ai-agent-1');
  t.match(page, 'its key set');
  t.match(page, '&#60;i&#62;j&#60;/i&#62;');
});

t.test('long lists have names of their own among the landmarks', async (t) => {
  const entries = Array.from({ length: 300 }, (_, index) => `entry-${index}`);
  const allow = entries.map((name) => ({ commonName: name, clientId: name }));
  const { admin } = await startScenario(
    t,
    { revocation: { file: 'revoked.yaml' }, authenticators: { workloads: { type: 'mtls', allow } } },
    { tls: true, files: { 'revoked.yaml': `jti: [${entries}]\n` } },
  );
  const page = await (await admin('/credentials')).text();
  const names = [...page.matchAll(/<nav class="paging" aria-label="([^"]*)"/g)].map(([, name]) => name);
  t.strictSame(names, ['Client certificates', 'Revoked ids']);
});

t.test('without keys, certificates and a list the page says what that means', async (t) => {
  const { admin } = await startScenario(t, {
    authenticators: { keys: undefined },
    routes: [{ path: '/mcp', mcp: { rules: [] } }],
  });
  const page = await (await admin('/credentials')).text();
  t.match(page, 'there is nothing to migrate');
  t.match(page, 'TLS is ended in front of this gateway');
  t.match(page, 'No authenticator takes client certificates.');
  t.match(page, 'revocation.file');
});
