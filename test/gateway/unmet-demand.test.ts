// Unmet demands: the record of a denial says which demand of the governing rule was not met.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

t.test('a demand of the governing rule that was not met is in detail.unmet, with the rule', async (t) => {
  const rule = (name: string, require: object) => ({ name, allow: { tools: [name] }, require });
  const rules = [
    rule('all', { scopes: ['dashboards:read', 'exports:create'] }),
    rule('any', { anyScope: ['exports:create', 'dashboards:write'] }),
    rule('keys', { authenticatedBy: ['keys'] }),
    rule('bound', { senderConstrained: true }),
    rule('small', { when: 'has(args.limit) && args.limit >= 1 && args.limit <= 10' }),
    rule('several', {
      scopes: ['x'],
      anyScope: ['y'],
      authenticatedBy: ['keys'],
      senderConstrained: true,
      when: 'has(args.a)',
    }),
    rule('bound-small', { scopes: ['x'], senderConstrained: true, when: 'has(args.a)' }),
    rule('small-scoped', { scopes: ['x'], anyScope: ['y'], when: 'has(args.a)' }),
    rule('scopes', { scopes: ['x'], anyScope: ['y'] }),
    { name: 'never', deny: { tools: ['never'] } },
  ];
  const { agent, upstream, recordOf } = await startScenario(
    t,
    { routes: { '/mcp': { mcp: { rules } } } },
    { inject: true },
  );
  for (const [tool, reason, unmet] of [
    ['all', 'insufficient_scope', 'scopes'],
    ['any', 'insufficient_scope', 'anyScope'],
    ['keys', 'denied', 'authenticatedBy'],
    ['bound', 'denied', 'senderConstrained'],
    ['small', 'denied', 'when'],
    ['several', 'denied', 'authenticatedBy'],
    ['bound-small', 'denied', 'senderConstrained'],
    ['small-scoped', 'denied', 'when'],
    ['scopes', 'insufficient_scope', 'scopes'],
  ] as const) {
    const answer = await agent.call(tool, { limit: 11 });
    const { rule, detail, ...record } = await recordOf(answer);
    t.match(record, { decision: 'deny', outcome: 'refused', reason }, tool);
    t.same([rule, detail], [tool, { unmet }], `${tool}: the rule and its demand`);
    t.notMatch(answer.text, /unmet/, 'the caller is not told');
  }
  for (const [tool, rule] of [
    ['never', 'never'],
    ['other', undefined],
  ] as const) {
    const record = await recordOf(await agent.call(tool));
    t.same([record.rule, record.detail], [rule, undefined], 'a deny and no rule demand nothing');
  }
  t.equal(upstream.requests.length, 0);
});
