// Rules in report mode over real requests: the record, the metric, the list and the challenge.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

t.test(
  'report rules that would deny, allow, lack a scope or err change no answer, and are recorded and counted',
  async (t) => {
    const report = (name: string, rest: object) => ({ name, mode: 'report', ...rest });
    const rules = [
      report('denies', { deny: { tools: ['a', 'hidden'] } }),
      report('allows', { allow: { tools: ['b'] } }),
      report('lacks', { allow: { tools: ['c'] }, require: { scopes: ['x', 'y'] } }),
      report('errs', { allow: { tools: ['d'], when: 'args.none' } }),
      report('also', { allow: { tools: ['a'] } }),
      { name: 'works', allow: { tools: ['a', 'c', 'd', 'hidden'] }, require: { scopes: ['dashboards:read'] } },
    ];
    const { agent, anybody, upstream, metric, recordsOf } = await startScenario(t, {
      routes: { '/mcp': { mcp: { rules } } },
    });
    for (const [tool, report] of [
      ['a', { decision: 'deny', rule: 'denies', reason: 'denied' }],
      ['c', { decision: 'deny', rule: 'lacks', reason: 'insufficient_scope', unmet: 'scopes', missing: ['x', 'y'] }],
      ['d', { decision: 'deny', rule: 'errs', reason: 'condition_error' }],
    ] as const) {
      const answer = await agent.call(tool);
      t.equal(answer.status, 200, tool);
      const records = await recordsOf(answer);
      t.strictSame(
        records.map(({ stage, decision, rule, report }) => ({ stage, decision, rule, report })),
        ['decided', 'completed'].map((stage) => ({ stage, decision: 'allow', rule: 'works', report })),
        'both records name the first report rule that matched',
      );
    }
    t.equal(upstream.requests.length, 3);
    const denied = await agent.call('b');
    t.equal(JSON.parse(denied.text).error.data.code, 'denied', 'a report rule allows nothing');
    const records = await recordsOf(denied);
    t.match(records, [{ decision: 'deny', reason: 'denied', report: { decision: 'allow', rule: 'allows' } }]);
    t.strictSame([records.length, records[0]!.rule], [1, undefined], 'no rule governed');
    t.equal(upstream.requests.length, 3, 'the upstream saw nothing of it');
    for (const [rule, decision, times] of [
      ['denies', 'deny', 1],
      ['allows', 'allow', 1],
      ['lacks', 'deny', 1],
      ['errs', 'deny', 1],
      ['also', 'allow', 1],
    ] as const) {
      t.equal(await metric('portcullis_reported_decisions_total', { route: '/mcp', rule, decision }), times, rule);
    }
    t.equal(await metric('portcullis_condition_errors_total', { rule: 'errs' }), 0);
    const challenge = (await anybody.call('a')).headers['www-authenticate'];
    t.match(challenge, /scope="dashboards:read"/, 'the challenge asks for no scope of a report rule');
  },
);
