// Weight of pages: a policy of 200 rules with long conditions, whose pages stay below 100 KB and lead to all of it.
import t from 'tap';
import { configure, yamlOf } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { createScale, linksIn } from '../support/page-weight.ts';
import { startScenario } from '../support/scenario.ts';

const long = (index: number) =>
  Array.from({ length: 25 }, (_, each) => `has(args.limit) && args.limit == ${index * 1000 + each}`).join(' || ');
const rules = Array.from({ length: 200 }, (_, index) => ({
  name: `rule-${index}`,
  // Every second one matches the call, and goes on.
  ...(index % 2 === 0 && { mode: 'report' }),
  allow: {
    tools: ['list_dashboards', ...Array.from({ length: 1 }, (_, each) => `tool_of_rule_${index}_${each}`)],
    ...(index % 2 === 1 && { when: long(index) }),
  },
  ...(index % 2 === 0 && { require: { when: long(index) } }),
  message: `Rule ${index} says: ${'no & '.repeat(40)}`,
}));

t.test('pages of a policy of 200 short rules, of which a caller decides how often they are walked', async (t) => {
  const short = Array.from({ length: 200 }, (_, index) => ({
    name: `rule-${index}`,
    allow: { tools: [`tool_${index}`] },
  }));
  const issuer = await createFakeIssuer();
  t.teardown(() => issuer.close());
  const changes = { routes: { '/mcp': { mcp: { audit: { arguments: 'full' }, rules: short } } } };
  const next = yamlOf(configure({ upstreamUrl: 'http://127.0.0.1:9', issuer: issuer.issuer }, changes));
  const { admin, agent, recordOf } = await startScenario(
    t,
    { shadow: { file: 'next.yaml' }, ...changes },
    { issuer, files: { 'next.yaml': next } },
  );
  const weigh = createScale(admin);
  const headers = { 'user-agent': '"'.repeat(2000) };
  const listen = (length: number) => {
    const resourceSubscriptions = Array.from({ length: 8 }, (_, index) => `superset://${index}${'='.repeat(length)}`);
    const params = { notifications: { resourceSubscriptions } };
    return agent.post({ jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params }, { headers });
  };
  for (const length of [0, 1500]) {
    const refused = await listen(length);
    t.equal(refused.status, 403);
    await recordOf(refused);
    for (const query of ['', '?under=shadow'])
      t.match(await weigh(t, `/decisions/${refused.id}${query}`), '14 more parts of the message');
  }
  for (let index = 0; index < 100; index += 1) await agent.call('"'.repeat(200));
  await weigh(t, '/decisions');
  const hostile = await agent.call('tool', { note: '\u202e='.repeat(3000) }, { headers });
  await recordOf(hostile);
  await weigh(t, `/decisions/${hostile.id}?under=shadow`);
});

t.test('pages of a policy of 200 rules with long conditions', async (t) => {
  const issuer = await createFakeIssuer();
  t.teardown(() => issuer.close());
  const changes = { routes: { '/mcp': { mcp: { audit: { arguments: 'full' }, rules } } } };
  const next = yamlOf(configure({ upstreamUrl: 'http://127.0.0.1:9', issuer: issuer.issuer }, changes));
  const { admin, agent, recordOf } = await startScenario(
    t,
    { shadow: { file: 'next.yaml' }, ...changes },
    { issuer, files: { 'next.yaml': next } },
  );
  const weigh = createScale(admin);
  const call = await agent.call('list_dashboards', { limit: 1, note: 'n"'.repeat(2000) });
  await recordOf(call);
  const why = await weigh(t, `/decisions/${call.id}?under=shadow`);
  t.match(why, `The whole one: portcullis audit show ${call.id} FILE`);
  const headers = { 'user-agent': '"'.repeat(2000) };
  const hostile = await agent.call('list_dashboards', { limit: 1, note: '='.repeat(6000) }, { headers });
  await recordOf(hostile);
  const resourceSubscriptions = Array.from({ length: 8 }, (_, index) => `superset://${index}${'='.repeat(500)}`);
  const params = { notifications: { resourceSubscriptions } };
  const listen = await agent.post({ jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params }, { headers });
  await recordOf(listen);
  for (const { id } of [hostile, listen]) await weigh(t, `/decisions/${id}?under=shadow`);
  const explained = await weigh(t, '/policy?view=explain&kind=tool&client=ai_agent_prod&tool=list_dashboards');
  t.match(explained, /\d+ more rules did not decide; <code>portcullis explain<\/code> shows each/);
  const overview = await weigh(t, '/');
  t.match(overview, 'more, which portcullis check prints');
  await weigh(t, '/policy?view=who-can');
  await weigh(t, '/decisions');

  t.test('links lead from one part of the rules to the next, until each was shown once', async (t) => {
    const seen: string[] = [];
    let next: string | undefined = '/policy';
    while (next !== undefined && seen.length < rules.length) {
      const text: string = await weigh(t, next);
      seen.push(...[...text.matchAll(/<code>(rule-\d+)<\/code>/g)].map(([, name]) => name!));
      next = linksIn(text, ' rel="next"')[0];
    }
    t.equal(next, undefined);
    t.strictSame(
      seen,
      rules.map(({ name }) => name),
    );
  });
});
