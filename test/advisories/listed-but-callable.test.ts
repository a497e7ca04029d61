// CVE-2026-46519 (mcp-server-kubernetes): the list of allowed tools was applied to tools/list, so that hidden tools looked forbidden, but not to
// tools/call: who guessed a name could call it.
import t from 'tap';
import { assertRefused, attack, host, post, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

t.test(
  'the rules hold for the call itself, whatever the name is spelt like and whatever else the message says',
  async (t) => {
    const scenario = await startScenario(t, { routes: { '/mcp': { mcp: { denials: 'http' } } } });
    const expected = { status: 403, code: 'denied', http: { method: 'POST', path: '/mcp' } };
    const names = [
      'execute_sql',
      'list_dashboards ',
      ' list_dashboards',
      'LIST_DASHBOARDS',
      'list_dashboards\0',
      'list_dashboards/execute_sql',
      'list_d\u0430shboards',
      'tools/list',
      '*',
      '',
    ];
    for (const [index, name] of names.entries()) {
      assertRefused(t, `name ${index}`, await attack(scenario, post(toolCall(name))), expected);
    }
    for (const method of [
      'tools/call2',
      'Tools/Call',
      'tools/call/',
      'tools',
      'resources/read',
      'prompts/get',
      'sampling/createMessage',
    ]) {
      const params = { name: 'list_dashboards', uri: 'superset://x' };
      const result = await attack(scenario, post({ jsonrpc: '2.0', id: 1, method, params }));
      assertRefused(t, method, result, expected);
    }
    const hinted = post(toolCall('execute_sql'), [
      host,
      withKey,
      'Mcp-Method: tools/list',
      'Mcp-Name: list_dashboards',
    ]);
    const { answer, forwarded } = await attack(scenario, hinted);
    t.ok(answer.status === 400 || answer.status === 403);
    t.equal(forwarded.length, 0);
    t.equal((await attack(scenario, post(toolCall('list_dashboards')))).forwarded.length, 1);
  },
);
