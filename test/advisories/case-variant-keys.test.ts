// CVE-2026-27896 (MCP Go SDK): keys of a message matched without regard to case, also beyond ASCII. A gateway that looks at `method` sees a
// harmless message where the server behind it reads `Method`, `PARAMS` or `param\u017f`.
import t from 'tap';
import { assertRefused, attack, post } from '../support/attack.ts';
import { startScenario } from '../support/scenario.ts';

t.test('a second spelling of a key is never forwarded', async (t) => {
  const scenario = await startScenario(t);
  const expected = { status: 400, code: 'invalid_jsonrpc', http: { method: 'POST', path: '/mcp' } };
  const allowed = '"method":"tools/call","params":{"name":"list_dashboards"}';
  const messages = [
    `{"jsonrpc":"2.0","id":1,${allowed},"Method":"tools/call"}`,
    `{"jsonrpc":"2.0","id":1,${allowed},"METHOD":"x"}`,
    `{"jsonrpc":"2.0","id":1,${allowed},"Params":{"name":"execute_sql"}}`,
    `{"jsonrpc":"2.0","id":1,${allowed},"param\u017f":{"name":"execute_sql"}}`,
    `{"jsonrpc":"2.0","id":1,${allowed},"ID":2}`,
    `{"jsonrpc":"2.0","id":1,${allowed},"method":"ping"}`,
    `{"jsonrpc":"2.0","id":1,"\\u006dethod":"ping",${allowed}}`,
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","name":"execute_sql"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","\\u006eame":"execute_sql"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","Name":"execute_sql"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":{},"Arguments":{"x":1}}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","argument\u017f":{"x":1}}}',
  ];
  for (const message of messages) assertRefused(t, message, await attack(scenario, post(message)), expected);
  const missing = ['{"jsonrpc":"2.0","id":1,"Method":"ping"}', '{"JSONRPC":"2.0","id":1,"method":"ping"}'];
  for (const message of missing) assertRefused(t, message, await attack(scenario, post(message)), expected);
});
