// GHSA-gwhp-pf74-vj37, CVE-2026-33805 (@fastify/reply-from): a client lists our identity headers in `Connection`, so that a proxy which
// sets them first and removes hop-by-hop headers afterwards sends the request on without an identity, or with the client's own.
import t from 'tap';
import { ask, configOf, startForwarder } from '../support/forwarder.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('Connection removes the client’s headers only, never ours', async (t) => {
  const upstream = await startUpstream();
  const route = { forwardHeaders: ['x-gone', 'x_gone', 'x-stays'] };
  const forwarder = await startForwarder(configOf(upstream.url, { upstream: { authorization: 'Bearer ours' }, route }));
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  const headers = [
    ['Connection', 'close, x-forwarded-user, X-Forwarded-Scopes, authorization, host, x-request-id'],
    ['connection', 'x_forwarded_for,, content-length ,X-Gone'],
    ['X-Forwarded-User', 'admin'],
    ['X-Gone', 'hop'],
    ['x_gone', 'hop'],
    ['X-Stays', 'end'],
  ];
  await ask(forwarder.port, { method: 'POST', headers: headers.flat(), body: '{}' });
  const [request] = upstream.requests;
  t.same(request!.header('x-forwarded-user'), ['agent@clients']);
  t.same(request!.header('x-forwarded-scopes'), ['dashboards:read queries:execute']);
  t.same(request!.header('x-forwarded-for'), ['192.0.2.7']);
  t.same(request!.header('authorization'), ['Bearer ours']);
  t.same(request!.header('x-request-id'), ['request-1']);
  t.same(request!.header('host'), [`127.0.0.1:${upstream.port}`]);
  t.same([...request!.header('x-gone'), ...request!.header('x_gone')], []);
  t.same(request!.header('x-stays'), ['end']);
  t.equal(String(request!.body), '{}');
});
