// A large request that the upstream answers before it has taken all of it: the connection went to the next caller, who waited behind the rest.

import t from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { startEarlyUpstream } from '../support/early-upstream.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('the connection of a request that was answered early is closed, and the next caller has another', async (t) => {
  const upstream = await startEarlyUpstream(t);
  const { agent } = await startScenario(t, {
    server: { limits: { bodyBytes: '16MiB' } },
    upstreams: { superset: { url: upstream.url } },
  });
  const padding = 'x'.repeat(12 * 1024 * 1024);
  t.match(await agent.call('list_dashboards', { padding }), { status: 200 });
  t.match(await agent.call('list_dashboards'), { status: 200 });
  t.equal(upstream.sockets.length, 2);
});

for (const isTls of [false, true]) {
  t.test(
    `requests small and large that are taken whole keep their connection${isTls ? ', over TLS' : ''}`,
    async (t) => {
      const authority = await createCertificateAuthority();
      const { certificatePem, keyPem } = await authority.issue({
        commonName: 'upstream',
        ips: ['127.0.0.1'],
        server: true,
      });
      const upstream = await startUpstream(isTls ? { tls: { cert: certificatePem, key: keyPem } } : {});
      t.teardown(upstream.close);
      const { agent } = await startScenario(
        t,
        { ...(isTls && { upstreams: { superset: { tls: { caFile: 'upstream-ca.crt' } } } }) },
        { upstream, files: { 'upstream-ca.crt': authority.certificatePem } },
      );
      for (const bytes of [10, 100_000, 10, 1_000_000, 10, 500_000, 10])
        t.match(await agent.call('list_dashboards', { padding: 'x'.repeat(bytes) }), { status: 200 });
      t.equal(upstream.connections(), 1);
    },
  );
}
