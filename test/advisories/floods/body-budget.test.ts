import t from 'tap';
import { withKey } from '../../support/attack.ts';
import { headOf, message, startAtRest } from '../../support/one-byte-chunks.ts';
import { talk } from '../../support/raw-http.ts';
import { startScenario } from '../../support/scenario.ts';
import { until } from '../../support/until.ts';

t.test('bodies have a budget, for each caller and in all, which is taken before they are read', async (t) => {
  const scenario = await startAtRest(t, {
    server: { limits: { bodyBytesPerSubject: '2MiB', bodyBytesInAll: '5MiB' } },
  });
  const { open, upstream, bearer, recordsOf, metric, agent } = scenario;
  const whole = `Content-Length: ${1024 * 1024}`;
  const tokenOf = async (sub: string) => `Authorization: ${(await bearer({ sub })).authorization}`;
  const [alice, bob] = [await tokenOf('alice'), await tokenOf('bob')];
  for (const credential of [alice, alice, bob, bob]) await open(headOf(credential, whole));
  const refused = async (credential: string, limit: string) => {
    const { client } = await open(headOf(credential, whole));
    const { answers } = await client.answers();
    t.match(answers, [
      { status: 503, headers: { 'retry-after': '1' }, json: { error: { data: { code: 'overloaded' } } } },
    ]);
    t.match(await recordsOf({ id: answers[0]!.headers['x-request-id']! }), [
      { stage: 'completed', outcome: 'refused', status: 503, reason: 'overloaded', detail: { limit } },
    ]);
    t.equal(await metric('portcullis_overloads_total', { limit }), 1);
  };
  await refused(alice, 'body_bytes_per_subject');
  const carol = await open(headOf(await tokenOf('carol'), whole));
  await refused(await tokenOf('dave'), 'body_bytes_in_all');
  carol.client.end();
  await until(async () => (await scenario.status()).openRequests === 4, 'a client that leaves gives its part back');
  t.match(await agent.call('list_dashboards'), { status: 200 }, 'what is left is given to others');
  t.equal(upstream.requests.length, 1);
});

t.test('one whole body always fits, also that of a route with a bodyBytes above the budget of all', async (t) => {
  const limits = { bodyBytes: '1KiB', bodyBytesPerSubject: '1KiB', bodyBytesInAll: '2KiB' };
  const { port, upstream } = await startScenario(t, { server: { limits }, routes: { '/mcp': { bodyBytes: '64KiB' } } });
  const body = ' '.repeat(60_000) + message;
  for (const framing of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
    const sent = framing.startsWith('C') ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    t.match(
      (await talk(port, headOf(`${withKey}\r\nConnection: close`, framing) + sent)).text,
      /^HTTP\/1.1 200 /,
      framing,
    );
  }
  t.equal(upstream.requests.length, 2);
});
