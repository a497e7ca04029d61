// GHSA-mg2h-6x62-wpwc, GHSA-jx2c-rxcm-jvmq, GHSA-247c-9743-5963 (fastify) and GHSA-v2v2-hph8-q5xp (reply-from): a Content-Type with a tab, a
// leading space, a strange case or parameter is no JSON to the one who checks, so it checks nothing, and JSON to the one who acts.
import t from 'tap';
import { assertRefused, attack, host, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

t.test('a body is read by the gateway or refused; no Content-Type makes it pass unread', async (t) => {
  const scenario = await startScenario(t);
  const forbidden = JSON.stringify(toolCall('delete_everything'));
  const length = `Content-Length: ${forbidden.length}`;
  const expected = { status: 415, code: 'unsupported_media_type', http: { method: 'POST', path: '/mcp' } };
  const types = [
    'application/json\t',
    'application/json\t;charset=utf-8',
    'application/json;a',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8; charset=utf-16',
    'application/json, text/plain',
    'application/jsonx',
    'application/json/x',
    'application/json-seq',
    'application/vnd.api+json',
    'application /json',
    'APPLICATION/JSONX',
    'text/plain',
    'text/json',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
    '*/*',
    'json',
    ';application/json',
    '',
  ];
  for (const type of types) {
    // What HTTP itself strips around a value is no trick, and the call is judged: denied like any other.
    const stripped = type.trim() === 'application/json';
    const bytes = request('POST /mcp', [host, withKey, `Content-Type: ${type}`, length], forbidden);
    const result = await attack(scenario, bytes);
    if (stripped) t.match({ code: result.code, forwarded: result.forwarded.length }, { code: 'denied', forwarded: 0 });
    else assertRefused(t, type, result, expected);
  }
  const none = await attack(scenario, request('POST /mcp', [host, withKey, length], forbidden));
  assertRefused(t, 'no type at all', none, expected);
  for (const coding of ['gzip', 'identity, gzip', 'br', 'x']) {
    const headers = [host, withKey, 'Content-Type: application/json', `Content-Encoding: ${coding}`, length];
    assertRefused(t, coding, await attack(scenario, request('POST /mcp', headers, forbidden)), expected);
  }
  for (const type of [
    'application/json',
    'application/json; charset="UTF-8"',
    'Application/JSON;',
    'APPLICATION/JSON; CHARSET=UTF-8',
  ]) {
    const result = await attack(
      scenario,
      request('POST /mcp', [host, withKey, `Content-Type: ${type}`, length], forbidden),
    );
    t.equal(result.code, 'denied', `${type} is read and judged`);
    t.equal(result.forwarded.length, 0);
  }
});
