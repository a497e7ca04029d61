// A caller makes one decision take seconds of the event loop: a condition goes over a list of its own and reads large arguments at each turn,
// calls a function on them again and again, or errs for each of thousands of elements.
import t from 'tap';
import { maxSteps } from '../../src/policy/condition/evaluation.ts';
import { decide } from '../../src/policy/decide.ts';
import { showsItem } from '../../src/policy/visibility.ts';
import { attributesOf, call, callerOf, mcpPolicy, rpc } from '../policy/scene.ts';
import { startScenario } from '../support/scenario.ts';

const words = JSON.stringify(Array.from({ length: 250 }, (_, index) => `word${index}`));
const sql = 'aK'.repeat(100_000);
const numbers = Array.from({ length: 9_000 }, (_, index) => index);
const most = numbers.slice(0, 4000);
const groups = Array.from({ length: 3_000 }, (_, index) => `group${index}`);
const member = callerOf({ clientId: 'ai_agent_prod', claims: { groups } }, []);

t.test('CEL over own lists that reads args inside the loop, with large arguments: condition_error', async (t) => {
  const forbidden = `!${words}.exists(word, args.sql.lowerAscii().contains(word))`;
  const rules = [{ name: 'words', allow: { tools: ['execute_sql'], when: forbidden } }];
  const routes = { '/mcp': { mcp: { denials: 'http', rules } } };
  const { agent, upstream, recordOf, metric } = await startScenario(t, { routes }, { inject: true });
  t.equal((await agent.call('execute_sql', { sql: 'SELECT 1' })).status, 200);
  const answer = await agent.call('execute_sql', { sql });
  const { error } = JSON.parse(answer.text);
  t.match([answer.status, error.data.code, error.message], [403, 'condition_error', /Send less in one call/]);
  t.match(await recordOf(answer), {
    decision: 'deny',
    outcome: 'refused',
    reason: 'condition_error',
    rule: 'words',
    detail: { condition: { problem: 'too_many_steps' } },
  });
  t.equal(await metric('portcullis_condition_errors_total', { route: '/mcp', rule: 'words' }), 1);
  t.equal(upstream.requests.length, 1);
});

t.test('no condition takes more steps than the request may, whatever decides it', (t) => {
  const costly: [string, unknown][] = [
    [`!${words}.exists(word, args.sql.contains(word))`, { sql }],
    [`!${words}.exists(word, size(args.sql) == 1)`, { sql }],
    [`${words}.all(word, args.sql.split(word).size() > 0)`, { sql }],
    [`${words}.filter(word, args.sql.upperAscii() == word).size() == 0`, { sql }],
    [`${words}.map(word, args.sql + word).size() > 0`, { sql }],
    [`!${words}.exists(word, word in args.list)`, { list: numbers.map(String) }],
    [`!${words}.exists(word, args.list == args.other)`, { list: [...most, 1], other: [...most, 2] }],
    [`!${words}.exists(word, args.list == [word])`, { list: [numbers] }],
    [`args.list.exists(each, each.member > 1) || true`, { list: numbers }],
    [
      `args.list.all(each, ${numbers
        .slice(0, 30)
        .map((number) => `each != ${number}.5`)
        .join(' && ')})`,
      { list: numbers },
    ],
    [
      `(${numbers
        .slice(0, 100)
        .map(() => 'args.sql')
        .join(' + ')}) != 'x'`,
      { sql },
    ],
    [
      `size(${numbers
        .slice(0, 200)
        .map(() => 'args.list')
        .join(' + ')}) != 1`,
      { list: numbers },
    ],
    ['principal.claims.groups.all(group, group in principal.claims.groups)', {}],
    [`principal.claims.groups.exists(group, args.sql.startsWith(group)) || true`, { sql }],
  ];
  for (const [when, args] of costly) {
    const policy = mcpPolicy(JSON.stringify([{ allow: { tools: ['a'], when } }, { allow: { tools: ['*'] } }]));
    const attributes = attributesOf(member, call('a', args));
    const decision = decide(attributes, policy);
    t.match(decision, { allow: false, reason: 'condition_error', problem: 'too_many_steps' }, when.slice(0, 80));
    t.ok(attributes.evaluation.steps < 2 * maxSteps, `${attributes.evaluation.steps} steps`);
  }
  const rule = { allow: { tools: ['a'], when: "!has(args.sql) || args.sql.contains('never')" } };
  const many = mcpPolicy(JSON.stringify([...Array.from({ length: 60 }, () => rule), { allow: { tools: ['*'] } }]));
  t.match(decide(attributesOf(member, call('a', { sql })), many), { problem: 'too_many_steps' }, 'many rules together');
  const each = mcpPolicy(
    JSON.stringify([{ allow: { resources: ['*'], when: "!principal.claims.groups.exists(group, group == 'x')" } }]),
  );
  const resourceSubscriptions = Array.from({ length: 1000 }, (_, index) => `a:${index}`);
  const listen = rpc('subscriptions/listen', { notifications: { resourceSubscriptions } });
  t.match(decide(attributesOf(member, listen), each), { problem: 'too_many_steps' }, 'many targets of one message');
  t.end();
});

t.test('a list of tools is filtered within the steps of one request', (t) => {
  const listing = { kind: 'tool', member: 'tools', key: 'name' } as const;
  const shown = (when: string) => {
    const policy = mcpPolicy(JSON.stringify([{ allow: { tools: ['*'], when } }]));
    const attributes = attributesOf(member, rpc('tools/list'));
    const shows = showsItem(attributes, { policy, lists: 'usable' });
    const tools = numbers.slice(0, 1000).filter((number) => shows(listing, `tool${number}`));
    t.ok(attributes.evaluation.steps < 2 * maxSteps, `${attributes.evaluation.steps} steps`);
    return tools.length;
  };
  t.equal(shown("principal.claims.groups.exists(group, group == 'group2999')"), 1000, 'one answer for all tools');
  t.ok(
    shown("principal.claims.groups.exists(group, tool.endsWith('0') || group == 'none')") < 100,
    'the rest is hidden',
  );
  t.equal(shown('has(args.limit) && args.limit >= 1 && args.limit <= 1000'), 1000);
  t.end();
});
