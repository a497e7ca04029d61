// faults.md C7: the filter of lists reads UTF-8 and lines that end with LF or CRLF. A list in another charset, or behind a character that only some
// readers take for the end of a line (Python's splitlines, a BufferedReader, a decoder that drops byte order marks), passes it as something else.
import t, { type Test } from 'tap';
import { type Caller, startScenario } from '../support/scenario.ts';
import type { Reply } from '../support/upstream.ts';

const listed = (...names: string[]) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: names.map((name) => ({ name })) } });
const hidden = listed('list_dashboards', 'execute_sql');
const event = `data: ${hidden}\n\n`;

const answer =
  (type: string, body: string | Buffer, headers: Record<string, string | string[]> = {}): Reply =>
  (_request, response) =>
    void response.writeHead(200, { 'content-type': type, ...headers }).end(body);

let reply: Reply;
const scenario = await startScenario(t, {}, { reply: (request, response) => reply(request, response) });
const { agent } = scenario;
const list = (caller: Caller = agent) => caller.post({ jsonrpc: '2.0', id: 'list-1', method: 'tools/list' });
const listen = () => agent.send({ path: '/mcp', headers: { accept: 'text/event-stream' } });

async function withheld(t: Test, name: string, send: typeof listen): Promise<void> {
  const result = await send();
  t.equal(result.status, 502, name);
  t.match(result.text, /bad_upstream/, name);
  t.notMatch(result.text, /execute_sql/, name);
  t.match(await scenario.recordOf(result), { status: 502, outcome: 'failed', reason: 'bad_upstream' }, name);
}

t.test('a list in any charset but UTF-8, or encoded, is 502, for a request and for a stream', async (t) => {
  const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');
  const refused: Record<string, Reply> = {
    'text/event-stream; charset=utf-16le': answer('text/event-stream; charset=utf-16le', utf16(event)),
    'charset=UTF-16, in capitals': answer('TEXT/EVENT-STREAM;CHARSET="UTF-16"', utf16(event)),
    'charset=utf-7': answer('text/event-stream; charset=utf-7', event),
    'charset=iso-8859-1': answer('text/event-stream; charset=iso-8859-1', event),
    'two charsets': answer('text/event-stream; charset=utf-8; charset=utf-16le', utf16(event)),
    'two types': answer('text/event-stream, text/event-stream; charset=utf-16le', utf16(event)),
    'JSON in UTF-16': answer('application/json; charset=utf-16le', utf16(hidden)),
    'a compressed stream': answer('text/event-stream', event, { 'content-encoding': 'gzip' }),
    'a coding and identity': answer('application/json', hidden, { 'content-encoding': ['gzip', 'identity'] }),
  };
  for (const [name, unreadable] of Object.entries(refused)) {
    reply = unreadable;
    await withheld(t, name, list);
    await withheld(t, `${name}, on a stream`, listen);
  }
  for (const bytes of [utf16(hidden), Buffer.from(`\ufeff${hidden}`)]) {
    reply = answer('application/json', bytes);
    await withheld(t, 'JSON that begins with a byte order mark', list);
  }
});

t.test('a stream in which some reader could see other lines ends before them', async (t) => {
  const rest = `data: ${hidden}`;
  const streams: Record<string, string | Buffer> = {
    'UTF-16 without a word of it': Buffer.from(event, 'utf16le'),
    'a CR alone': `: x\r${rest}\r\r`,
    'a CR alone within data': `data: {"jsonrpc":"2.0",\r"x": "execute_sql",\ndata: "id":1,"result":{"tools":[]}}\n\n`,
    'a vertical tab': `: x\v${rest}\n\n`,
    'a form feed': `event: x\f${rest}\n\n`,
    'a record separator': `id: x\x1e${rest}\n\n`,
    NEL: `retry: 1\u0085${rest}\n\n`,
    'NEL as a byte': Buffer.from(`: x\x85${rest}\n\n`, 'latin1'),
    'U+2028': `: x\u2028${rest}\n\n`,
    'U+2029': `x: y\u2029${rest}\n\n`,
    'a byte order mark within the stream': `: x\n\ufeff${rest}\n\n`,
    NUL: `: x\0${rest}\n\n`,
    'data behind a space': ` ${rest}\n\n`,
    'data before a space': `data : ${hidden}\n\n`,
    'DATA in capitals': `DATA: ${hidden}\n\n`,
    'Data behind a tab, and no LF': `\tData: ${hidden}`,
  };
  for (const [name, body] of Object.entries(streams)) {
    for (const message of [{ jsonrpc: '2.0', id: 1, method: 'tools/list' }, undefined]) {
      const opened = Promise.withResolvers<void>();
      reply = async (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n');
        await opened.promise;
        response.end(body);
      };
      const held = await agent.hold({ message });
      await held.saw(': open\n\n');
      opened.resolve();
      t.equal(await held.ended(), 'cut', name);
      t.notMatch(held.text(), /execute_sql/, name);
      t.match(await scenario.recordOf(held), { outcome: 'failed' }, name);
    }
  }
});

t.test('separators within the strings of a list are data: it is shown, and no reader ends a line there', async (t) => {
  const text = listed('list_dashboards', 'a\u2028data: execute_sql').replace(
    '}]',
    ',"title":"1\u20282\u20293\u00854"}]',
  );
  const kept = text.replace('"name":"list_dashboards"', '"name":"list_dashboards","title":"1\u20282\u20293\u00854"');
  reply = answer('Text/Event-Stream; charset=UTF-8', `: open\r\ndata: ${kept}\r\n\r\n`);
  const shown = await list();
  t.equal(shown.status, 200);
  t.notMatch(shown.text, /execute_sql|[\u2028\u2029\u0085]/);
  t.strictSame(JSON.parse(/data: (.*)/.exec(shown.text)?.[1] ?? '').result.tools, [
    { name: 'list_dashboards', title: '1\u20282\u20293\u00854' },
  ]);
});
