// A header that names a revision which the body does not have: a proxy, a log or an upstream that goes by MCP-Protocol-Version takes the message for one
// of another era than the gateway judged.
import t from 'tap';
import { assertRefused, attack, host, post, type Refusal, withKey } from '../support/attack.ts';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t);
const request = (method: string) => ({ jsonrpc: '2.0', id: 5, method, params: { name: 'list_dashboards' } });
const call = request('tools/call');
const send = (message: object, ...versions: string[]) =>
  attack(scenario, post(message, [host, withKey, ...versions.map((version) => `MCP-Protocol-Version: ${version}`)]));
const refusal: Refusal = { status: 400, code: 'header_mismatch', http: { method: 'POST', path: '/mcp' } };

t.test('a revision that is none, or that the body would state, is refused', async (t) => {
  for (const version of [
    '2026-07-28',
    '2027-01-01',
    'junk',
    '',
    '2025-06-18, 2026-07-28',
    'DRAFT-2026-v1',
    '2026-7-28',
  ]) {
    const result = await send(call, version);
    assertRefused(t, version, result, refusal);
    const code = /^202[67]-\d\d-\d\d$/.test(version) ? -32602 : -32020;
    t.match(result.answer.json, { id: 5, error: { code } }, version);
  }
  assertRefused(t, 'initialize', await send(request('initialize'), '2026-07-28'), refusal);
  assertRefused(t, 'an answer', await send({ jsonrpc: '2.0', id: 5, result: {} }, '2026-07-28'), refusal);
  const twice = await send(call, '2025-06-18', '2026-07-28');
  assertRefused(t, 'two headers', twice, { ...refusal, code: 'duplicate_header', closes: true });
});

t.test('older revisions, known or not, are for the upstream to judge', async (t) => {
  for (const version of ['2025-03-26', '2025-06-18', '2025-11-25', '2024-12-31']) {
    const { answer, forwarded } = await send(call, version);
    t.equal(answer.status, 200, version);
    t.strictSame(forwarded[0]?.header('mcp-protocol-version'), [version], version);
  }
});

t.test('a notification of a newer revision does not repeat it', async (t) => {
  const { answer, forwarded } = await send(
    { jsonrpc: '2.0', method: 'notifications/roots/list_changed' },
    '2026-07-28',
  );
  t.equal(answer.status, 200);
  t.equal(forwarded.length, 1);
});
