// Large credentials: tokens with many groups are taken within `headerBytes`, and what is larger is 431 in words.
import t from 'tap';
import { attack, host, post } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t);

const groupsOf = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 36) }, (_, index) => `group-${index}`.padEnd(24, 'x'));

t.test('tokens of 9 to 16 KB (many groups) are taken', async (t) => {
  for (const kilobytes of [9, 12, 16, 24]) {
    const token = await scenario.token({ groups: groupsOf(kilobytes * 1000) });
    t.ok(token.length > kilobytes * 1000, `${token.length} characters`);
    const { status, id } = await (await scenario.as({ headers: { authorization: `Bearer ${token}` } })).call(
      'list_dashboards',
    );
    t.equal(status, 200, `${kilobytes} KB`);
    t.match(await scenario.recordOf({ id }), { principal: { clientId: 'ai_agent_prod' }, outcome: 'completed' });
  }
});

t.test('a large credential of nobody is refused with a challenge', async (t) => {
  const large = 'x'.repeat(20_000);
  for (const [header, code] of [
    [`Authorization: Bearer ${large}`, 'invalid_token'],
    [`Authorization: Bearer sk_${large}`, 'invalid_api_key'],
    [`X-Api-Key: sk_${large}`, 'invalid_api_key'],
  ] as const) {
    const {
      answer,
      code: answered,
      forwarded,
      record,
    } = await attack(scenario, post(toolCall('list_dashboards'), [host, header]));
    t.match({ status: answer.status, code: answered }, { status: 401, code });
    t.match(answer.headers['www-authenticate'], /^Bearer error="invalid_token"/);
    t.same(forwarded, []);
    t.match(record, { decision: 'deny', reason: code });
    t.notMatch(JSON.stringify(record), 'xxxx', 'nothing of it is on record');
  }
});

t.test('a head above headerBytes is 431, and says what to do about the token', async (t) => {
  const { answer, forwarded, record } = await attack(
    scenario,
    post(toolCall('list_dashboards'), [
      host,
      `Authorization: Bearer ${await scenario.token({ groups: groupsOf(40_000) })}`,
    ]),
  );
  t.match(answer, { status: 431, json: { code: 'headers_too_large', detail: /access token .* fewer groups/ } });
  t.same(forwarded, []);
  t.match(record, { decision: 'deny', reason: 'headers_too_large', outcome: 'refused' });
});
