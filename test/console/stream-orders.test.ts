// Orders of an operator through the console's guard: a stream ended and a key revoked by the buttons of a page, with the token of its form.
import t from 'tap';
import { openBrowser } from '../support/console-browser.ts';
import { startLoginProvider } from '../support/login-provider.ts';
import { startScenario } from '../support/scenario.ts';

const provider = await startLoginProvider();
t.teardown(provider.close);
const scenario = await startScenario(
  t,
  {
    admin: { publicUrl: 'https://console.example.com', authenticate: 'staff', login: { clientId: 'console' } },
    authenticators: { staff: { type: 'jwt', issuer: provider.issuer } },
  },
  {
    streamTickMs: 10,
    reply(request, response) {
      const type = request.method === 'GET' ? 'text/event-stream' : 'application/json';
      response.writeHead(200, { 'content-type': type });
      if (request.method === 'GET') response.write('data: 1\n\n');
      else response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  },
);
const browser = openBrowser(scenario.gateway);
await browser.enter(provider);

/** The forms of the page of a stream: the fields of each by its action. */
async function formsOf(id: string): Promise<ReadonlyMap<string, Record<string, string>>> {
  const { body, status } = await browser.send(`/streams?stream=${id}`);
  t.equal(status, 200);
  const forms = [...body.matchAll(/<form method="post" action="([^"]+)">(.*?)<\/form>/g)];
  return new Map(
    forms.map(([, action = '', fields = '']) => [
      action.replace('?', ''),
      Object.fromEntries(
        [...fields.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value]),
      ),
    ]),
  );
}
const post = (path: string, form: Readonly<Record<string, string>>) => browser.send(path, { method: 'POST', form });

t.test(
  'the button of a stream ends it at its client, and a form without the token of the page ends nothing',
  async (t) => {
    const stream = await scenario.agent.hold();
    const { csrf = '', ...form } = (await formsOf(stream.id)).get('/streams/end')!;
    t.same(form, { id: stream.id });
    for (const token of ['', 'A'.repeat(csrf.length)])
      t.equal((await post('/streams/end', { ...form, csrf: token })).status, 403);
    t.match(await scenario.gateway.parts.runtime.streams.size(), 1);
    const ended = await post('/streams/end', { ...form, csrf });
    t.match(ended, { status: 303, location: '/streams?notice=ended' });
    t.equal(await stream.ended(), 'clean');
    t.match((await browser.send(ended.location)).body, 'The stream ends after its current event.');
    t.match(await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream'), {
      reason: 'operator',
      detail: { by: /ada/ },
    });
    await scenario.recordOf(stream);
    const gone = await post('/streams/end', { ...form, csrf });
    t.match([gone.status, gone.body], [404, /stream_gone/]);
  },
);

t.test('the button of a key revokes it for an hour: refused, its stream ended, listed with who did it', async (t) => {
  const stream = await scenario.reporting.hold();
  const { csrf = '', ...form } = (await formsOf(stream.id)).get('/streams/revoke')!;
  t.same(form, { kind: 'api-key', authenticator: 'keys', id: 'k1' });
  const revoked = await post('/streams/revoke', { ...form, csrf });
  t.match(revoked, { status: 303, location: '/streams?notice=revoked' });
  const seen = scenario.upstream.requests.length;
  const refused = await scenario.reporting.call('list_dashboards');
  t.equal(refused.status, 401);
  t.match(await scenario.recordOf(refused), { reason: 'invalid_api_key', outcome: 'refused' });
  t.equal(scenario.upstream.requests.length, seen, 'the upstream saw nothing');
  t.equal(await stream.ended(), 'clean');
  t.match(await scenario.record(({ detail }) => detail?.event === 'credential revoked'), {
    detail: { id: 'k1', by: /^ada/, operator: { subject: 'ada', issuer: /./, address: /./ } },
  });
  const { body } = await browser.send(revoked.location);
  t.match(body, /key <code>k1<\/code>/);
  t.match(body, 'ada');
  for (const other of [{ authenticator: 'nobody' }, { id: 'no-such-key' }]) {
    const unknown = await post('/streams/revoke', { ...form, ...other, csrf });
    t.match([unknown.status, unknown.body], [404, /credential_unknown/]);
  }
});
