// Attack: a caller makes up a name of a tool for each call, so that each finds a new bucket, and the buckets fill the memory of the gateway.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

t.test('a thousand made-up tools of one caller have one bucket from then on, and nobody else notices', async (t) => {
  const { agent, as, recordOf, upstream } = await startScenario(
    t,
    {
      limits: { tools: { rate: '2/h', per: ['subject', 'tool'] } },
      routes: { '/mcp': { mcp: { rules: [{ allow: { tools: ['get_*'] }, limits: ['tools'] }] } } },
    },
    { inject: true },
  );
  const call = async (tool: string) => JSON.parse((await agent.call(tool)).text).error?.data.code;
  t.equal(await call('get_chart_data'), undefined);
  for (let made = 1; made < 1000; made += 1) if ((await call(`get_${made}`)) !== undefined) t.fail(`get_${made}`);
  t.same([await call('get_a'), await call('get_b'), await call('get_c')], [undefined, undefined, 'rate_limited']);
  const sent = upstream.requests.length;
  const refused = await agent.call('get_d');
  t.match(await recordOf(refused), {
    decision: 'deny',
    reason: 'rate_limited',
    mcp: { tool: 'get_d' },
    detail: { limit: 'tools', bucket: 'shared' },
  });
  t.equal(upstream.requests.length, sent);
  t.equal(await call('get_chart_data'), undefined, 'its second call: a bucket in use is kept');
  t.equal(await call('get_chart_data'), 'rate_limited');
  const other = await as({ claims: { sub: 'somebody else' } });
  t.equal((await other.call('get_chart_data')).status, 200);
  t.match((await other.call('get_new')).headers.ratelimit, '"tools";r=1', 'with buckets of its own');
});
