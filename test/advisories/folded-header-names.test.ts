// CVE-2025-64484 (oauth2-proxy), CVE-2026-39858 (Traefik) and its sibling with dots: a client sends `X_Forwarded_User` or
// `x.forwarded.user`. The proxy drops only `X-Forwarded-User`; the WSGI or CGI application behind it folds all of them into one.
import t from 'tap';
import { foldHeaderName } from '../../src/upstream/header-names.ts';
import { ask, configOf, startForwarder } from '../support/forwarder.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('after folding, the upstream sees one identity header, ours', async (t) => {
  const upstream = await startUpstream();
  const forwarder = await startForwarder(configOf(upstream.url));
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  const spellings = [
    'x_forwarded_user',
    'X_FORWARDED-user',
    'x.forwarded.user',
    'X-Forwarded.User',
    'x~forwarded~user',
  ];
  await ask(forwarder.port, {
    headers: [...spellings, 'X-Forwarded-User', 'remote_user'].flatMap((name) => [name, 'admin']),
  });
  const { rawHeaders } = upstream.requests[0]!;
  const values = rawHeaders.filter(
    (_, at) => at % 2 === 1 && foldHeaderName(rawHeaders[at - 1]!) === 'x-forwarded-user',
  );
  t.same(values, ['agent@clients']);
  t.notOk(rawHeaders.includes('admin'));
});
