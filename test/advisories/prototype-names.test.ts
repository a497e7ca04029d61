// CVE-2026-21710 (Node): a header named `__proto__` crashed whoever used headersDistinct; and wherever names from outside become keys of an
// object, `__proto__` and `constructor` change what all other objects have.
import t from 'tap';
import { attack, host, post, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

t.test('names that objects inherit are names like any other, in headers, queries and bodies', async (t) => {
  const scenario = await startScenario(t);
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', '__defineGetter__'];
  for (const name of names) {
    const headers = [host, withKey, `${name}: x`, `${name}: y`];
    const { answer, forwarded } = await attack(scenario, request(`GET /api/${name}?${name}=x`, headers));
    t.equal(answer.status, 200, name);
    t.equal(forwarded[0]?.url, `/api/${name}?${name}=x`);
    const refused = await attack(scenario, post(toolCall(name)));
    t.equal(refused.code, 'denied', `a tool named ${name}`);
    t.equal(refused.forwarded.length, 0);
    const missing = await attack(scenario, request(`GET /${name}`));
    t.equal(missing.answer.status, 404, `no route named ${name}`);
    const scheme = await attack(scenario, request('GET /api/x', [host, `Authorization: ${name} x`]));
    t.equal(scheme.answer.status, 401, `no scheme named ${name}`);
  }
  const body =
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}}';
  const { forwarded } = await attack(scenario, post(body));
  t.equal(String(forwarded[0]?.body), body, 'forwarded untouched');
  t.notOk('polluted' in {}, 'and nothing is merged into anything');
});
