// Headers that repeat the body, in both eras: what must be there, what must agree, and how names are written that no header can hold.
import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import { checkMirroredHeaders } from '../../src/mcp/mirrored-headers.ts';
import { readMessage } from '../../src/mcp/read-message.ts';

const revision = '2026-07-28';

function messageOf(method: string, params: object, modern = true) {
  const id = method.startsWith('notifications/') ? {} : { id: 1 };
  const meta = modern ? { _meta: { 'io.modelcontextprotocol/protocolVersion': revision } } : {};
  return readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...id, method, params: { ...params, ...meta } })));
}

const version = { 'mcp-protocol-version': revision };

/** `agrees`, or the reason of the refusal. */
function verdict(headers: Record<string, string>, message: ReturnType<typeof messageOf>): string {
  try {
    checkMirroredHeaders(headers, message);
    return 'agrees';
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'header_mismatch') throw error;
    return error.reason ?? '';
  }
}

const base64 = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`;

t.test('a modern message repeats its revision, its method and its name', (t) => {
  const call = messageOf('tools/call', { name: 'list_dashboards' });
  const list = messageOf('tools/list', {});
  const read = messageOf('resources/read', { uri: 'instance://metadata' });
  const prompt = messageOf('prompts/get', { name: 'quickstart' });
  const task = messageOf('tasks/get', { taskId: 't-1' });
  const notification = messageOf('notifications/cancelled', {});
  const whole = { ...version, 'mcp-method': 'tools/call', 'mcp-name': 'list_dashboards' };
  const { 'mcp-name': _name, ...nameless } = whole;
  const rows: [string, Record<string, string>, ReturnType<typeof messageOf>, string][] = [
    ['a call', whole, call, 'agrees'],
    ['white space around values', { ...whole, 'mcp-name': ' \tlist_dashboards\t ' }, call, 'agrees'],
    ['the name in base64', { ...whole, 'mcp-name': base64('list_dashboards') }, call, 'agrees'],
    ['a list', { ...version, 'mcp-method': 'tools/list' }, list, 'agrees'],
    ['a resource', { ...version, 'mcp-method': 'resources/read', 'mcp-name': 'instance://metadata' }, read, 'agrees'],
    ['a prompt', { ...version, 'mcp-method': 'prompts/get', 'mcp-name': 'quickstart' }, prompt, 'agrees'],
    ['a task', { ...version, 'mcp-method': 'tasks/get', 'mcp-name': 't-1' }, task, 'agrees'],
    ['a task without its name', { ...version, 'mcp-method': 'tasks/get' }, task, 'agrees'],
    ['a notification', version, notification, 'agrees'],
    ['a notification with its method', { ...version, 'mcp-method': 'notifications/cancelled' }, notification, 'agrees'],
    [
      'parameters are not looked at',
      { ...whole, 'mcp-param-region': 'eu', 'mcp-param-x': '=?base64?!?=' },
      call,
      'agrees',
    ],
    ['no header at all', {}, call, 'mcp-protocol-version_missing'],
    ['no revision', { 'mcp-method': 'tools/list' }, list, 'mcp-protocol-version_missing'],
    ['a notification without its revision', {}, notification, 'mcp-protocol-version_missing'],
    ['an older revision', { ...whole, 'mcp-protocol-version': '2025-11-25' }, call, 'mcp-protocol-version_different'],
    ['an empty revision', { ...whole, 'mcp-protocol-version': '' }, call, 'mcp-protocol-version_different'],
    ['no method', version, list, 'mcp-method_missing'],
    ['another method', { ...version, 'mcp-method': 'prompts/list' }, list, 'mcp-method_different'],
    ['its method in capitals', { ...version, 'mcp-method': 'TOOLS/LIST' }, list, 'mcp-method_different'],
    ['its method in base64', { ...version, 'mcp-method': base64('tools/list') }, list, 'mcp-method_different'],
    [
      'another method of a notification',
      { ...version, 'mcp-method': 'tools/call' },
      notification,
      'mcp-method_different',
    ],
    ['no name', nameless, call, 'mcp-name_missing'],
    ['no URI', { ...version, 'mcp-method': 'resources/read' }, read, 'mcp-name_missing'],
    ['no prompt', { ...version, 'mcp-method': 'prompts/get' }, prompt, 'mcp-name_missing'],
    ['an empty name', { ...whole, 'mcp-name': '' }, call, 'mcp-name_different'],
    ['another name', { ...whole, 'mcp-name': 'execute_sql' }, call, 'mcp-name_different'],
    ['the name in capitals', { ...whole, 'mcp-name': 'LIST_DASHBOARDS' }, call, 'mcp-name_different'],
    ['another name in base64', { ...whole, 'mcp-name': base64('execute_sql') }, call, 'mcp-name_different'],
    ['another task', { ...version, 'mcp-method': 'tasks/get', 'mcp-name': 't-2' }, task, 'mcp-name_different'],
    [
      'a name where there is none',
      { ...version, 'mcp-method': 'tools/list', 'mcp-name': 'x' },
      list,
      'mcp-name_different',
    ],
  ];
  for (const [name, headers, message, expected] of rows) t.equal(verdict(headers, message), expected, name);
  t.end();
});

t.test('the base64 form is exactly that, or the value is literal', (t) => {
  const headers = (name: string) => ({ ...version, 'mcp-method': 'tools/call', 'mcp-name': name });
  const named = (name: string) => messageOf('tools/call', { name });
  const agree: [string, string][] = [
    [base64('größe 😀\n'), 'größe 😀\n'],
    [base64(''), ''],
    [base64('\ufeffx'), '\ufeffx'],
    [base64(base64('x')), base64('x')],
    ['=?BASE64?eA==?=', '=?BASE64?eA==?='],
    ['=?Base64?eA==?=', '=?Base64?eA==?='],
    ['=?base64?eA==', '=?base64?eA=='],
    ['eA==?=', 'eA==?='],
    ['=?utf-8?eA==?=', '=?utf-8?eA==?='],
    ['a b', 'a b'],
  ];
  for (const [header, name] of agree) t.equal(verdict(headers(header), named(name)), 'agrees', JSON.stringify(header));
  const differ: [string, string, string][] = [
    ['without its padding', '=?base64?eA?=', 'x'],
    ['with half of it', '=?base64?eA=?=', 'x'],
    ['with too much of it', '=?base64?eA===?=', 'x'],
    ['with padding in the middle', '=?base64?eA==eA==?=', 'xx'],
    ['in the alphabet of URLs', '=?base64?8J-YgA==?=', '😀'],
    ['with a character of no alphabet', '=?base64?e!A==?=', 'x'],
    ['with white space in it', '=?base64?eA= =?=', 'x'],
    ['with white space around it inside the marks', '=?base64? eA== ?=', 'x'],
    ['with bits left over', '=?base64?eB==?=', 'x'],
    ['of bytes that are no UTF-8', '=?base64?/w==?=', '\ufffd'],
    ['of an encoded surrogate', '=?base64?7aCA?=', '\ufffd'],
    ['as a literal', base64('x'), base64('x')],
    ['raw bytes of UTF-8', Buffer.from('é').toString('latin1'), 'é'],
    ['raw bytes that spell the name in Latin-1', 'é', 'é'],
    ['a control', 'a\u0001', 'a\u0001'],
    ['DEL', 'a\u007f', 'a\u007f'],
  ];
  for (const [name, header, sent] of differ) {
    t.equal(verdict(headers(header), named(sent)), 'mcp-name_different', name);
  }
  t.end();
});

t.test('an older message may say less, but nothing else than its body', (t) => {
  const old = (method: string, params: object = {}) => messageOf(method, params, false);
  const call = old('tools/call', { name: 'list_dashboards' });
  const response = readMessage(Buffer.from('{"jsonrpc":"2.0","id":1,"result":{}}'));
  const rows: [string, Record<string, string>, ReturnType<typeof messageOf>, string][] = [
    ['no header', {}, call, 'agrees'],
    ['its revision', { 'mcp-protocol-version': '2025-06-18' }, call, 'agrees'],
    [
      'an older revision that nobody knows, for the upstream to judge',
      { 'mcp-protocol-version': '2024-12-31' },
      call,
      'agrees',
    ],
    ['a notification, which need not state its revision', version, old('notifications/initialized'), 'agrees'],
    ['a revision that its body would state', version, call, 'mcp-protocol-version_unstated'],
    ['a revision after that', { 'mcp-protocol-version': '2027-01-01' }, call, 'mcp-protocol-version_unstated'],
    ['initialize with such a revision', version, old('initialize'), 'mcp-protocol-version_unstated'],
    ['a response with such a revision', version, response, 'mcp-protocol-version_unstated'],
    ['junk for a revision', { 'mcp-protocol-version': 'junk' }, call, 'mcp-protocol-version_malformed'],
    [
      'junk beside a notification',
      { 'mcp-protocol-version': 'junk' },
      old('notifications/x'),
      'mcp-protocol-version_malformed',
    ],
    ['an empty revision', { 'mcp-protocol-version': '' }, call, 'mcp-protocol-version_malformed'],
    ['two revisions', { 'mcp-protocol-version': '2025-06-18, 2025-11-25' }, call, 'mcp-protocol-version_malformed'],
    ['a draft', { 'mcp-protocol-version': 'DRAFT-2026-v1' }, call, 'mcp-protocol-version_malformed'],
    ['a date with a time', { 'mcp-protocol-version': '2025-06-18T00' }, call, 'mcp-protocol-version_malformed'],
    ['a date of other digits', { 'mcp-protocol-version': '２025-06-18' }, call, 'mcp-protocol-version_malformed'],
    ['a response with its revision', { 'mcp-protocol-version': '2025-11-25' }, response, 'agrees'],
    ['its method and name', { 'mcp-method': 'tools/call', 'mcp-name': 'list_dashboards' }, call, 'agrees'],
    ['another method', { 'mcp-method': 'tools/list' }, call, 'mcp-method_different'],
    ['another name', { 'mcp-name': 'execute_sql' }, call, 'mcp-name_different'],
    ['a method of a response', { 'mcp-method': 'tools/call' }, response, 'mcp-method_different'],
    ['a name of a response', { 'mcp-name': 'x' }, response, 'mcp-name_different'],
    [
      'another URI of a subscription',
      { 'mcp-name': 'a:c' },
      old('resources/subscribe', { uri: 'a:b' }),
      'mcp-name_different',
    ],
    ['a name of a list', { 'mcp-name': 'execute_sql' }, old('tools/list'), 'mcp-name_different'],
    ['a name of a method that nobody knows', { 'mcp-name': 'x' }, old('x/unknown'), 'agrees'],
    [
      'another method of one that nobody knows',
      { 'mcp-method': 'tools/list' },
      old('x/unknown'),
      'mcp-method_different',
    ],
  ];
  for (const [name, headers, message, expected] of rows) t.equal(verdict(headers, message), expected, name);
  t.end();
});

t.test('whatever agrees is the name', (t) => {
  const headers = (name: string) => ({ ...version, 'mcp-method': 'tools/call', 'mcp-name': name });
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      t.equal(verdict(headers(base64(name)), messageOf('tools/call', { name })), 'agrees');
    }),
    { numRuns: 300 },
  );
  const piece = fc.constantFrom('=?base64?', '?=', 'eA==', 'eA', '=', ' ', '\t', 'x', 'é', '\u0000', '/w==', 'eB==');
  const header = fc.array(piece, { maxLength: 5 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(header, fc.constantFrom('x', '', '\ufffd', 'é', 'eA==', 'xx'), (sent, name) => {
      if (verdict(headers(sent), messageOf('tools/call', { name })) !== 'agrees') return;
      const inner = /^=\?base64\?([A-Za-z0-9+/=]*)\?=$/.exec(sent.trim())?.[1];
      t.equal(inner === undefined ? sent.trim() : Buffer.from(inner, 'base64').toString(), name, JSON.stringify(sent));
    }),
    { numRuns: 3000 },
  );
  t.end();
});
