// Ids of requests that are refused before they are understood.
import fc from 'fast-check';
import t from 'tap';
import { createRequestIdScanner } from '../../src/mcp/request-id.ts';

function find(bytes: Buffer | string, ...cuts: readonly number[]): string | undefined {
  const scanner = createRequestIdScanner();
  const whole = Buffer.from(bytes);
  const at = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  at.slice(1).some((end, index) => scanner.write(whole.subarray(at[index], end)));
  return scanner.id();
}

t.test('the id of whatever JSON.parse reads as a request is found, however it is written and cut', async () => {
  const id = fc.oneof(
    fc.integer(),
    fc.string({ unit: 'binary' }).filter((text) => !text.includes('\ufffd')),
  );
  const message = fc.tuple(
    id,
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom([0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]),
    fc.constantFrom(undefined, 1),
  );
  const check = fc.property(message, fc.array(fc.nat(), { maxLength: 4 }), ([id, params, order, space], cuts) => {
    const members = [
      ['jsonrpc', '2.0'],
      ['id', id],
      ['method', 'tools/call'],
      ['params', params],
    ];
    const text = JSON.stringify(Object.fromEntries(order.map((index) => members[index]!)), undefined, space);
    return find(text, ...cuts) === JSON.stringify(id);
  });
  fc.assert(check, { numRuns: 2000 });
});

t.test('the id is found in what is refused for something else', async (t) => {
  const found: [string, string, string][] = [
    ['JSON that breaks off behind the id', '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name', '7'],
    ['invalid JSON behind the id', '{"id":"a","params":{bad: [},"method":x', '"a"'],
    ['a string without what follows it', '{"id":"a"', '"a"'],
    ['an id behind big params', `{"params":{"sql":"${'x'.repeat(100_000)}\\"}"},"id":9}`, '9'],
    ['an id within params before it', '{"params":{"id":1,"x":[{"id":2}]},"id":3}', '3'],
    ['params that look like an id', '{"params":"\\"id\\":1,","id":3}', '3'],
    ['a duplicate name', '{"method":"a","method":"b","id":3}', '3'],
    ['a name with escapes', '{"\\u0069d":3}', '3'],
    ['a byte order mark', '\ufeff{"id":3}', '3'],
    ['a control character', '{"x":"\u0001","id":3}', '3'],
    ['trailing bytes', '{"id":3}}x', '3'],
    ['an id beyond 2^53, as it was written', '{"id": 12345678901234567890 ,"x":1}', '12345678901234567890'],
    ['an id with escapes, as it was written', '{"id":"\\u0061"}', '"\\u0061"'],
  ];
  for (const [name, text, id] of found) t.equal(find(text), id, name);
});

t.test('there is no id where none can be told', async (t) => {
  const none: [string, string | Buffer][] = [
    ['nothing', ''],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]'],
    ['no object', '"id"'],
    ['a response, whose id is that of the server’s request', '{"jsonrpc":"2.0","id":1,"result":{}}'],
    ['an error', '{"error":{},"id":1}'],
    ['a notification', '{"method":"notifications/x"}'],
    ['a null id', '{"id":null}'],
    ['a fraction', '{"id":1.5}'],
    ['an object', '{"id":{"id":1}}'],
    ['two numbers', '{"id":1e,"x":1}'],
    ['leading zeros', '{"id":012}'],
    ['a number that may go on', '{"id":12'],
    ['a string that goes on', '{"id":"a'],
    ['an id in other case', '{"ID":1}'],
    ['an id in params only', '{"params":{"id":1}}'],
    ['a very long id', `{"id":"${'x'.repeat(2047)}"}`],
    ['a string that is no UTF-8', Buffer.from('{"id":"\xff"}', 'latin1')],
    ['an id behind more members than any message has', `{${'"x":1,'.repeat(100)}"id":1}`],
    ['UTF-16', Buffer.from('{"id":1}', 'utf16le')],
  ];
  for (const [name, text] of none) t.equal(find(text), undefined, name);
  t.equal(find('{"id":1 2,"x":1}'), '1', 'the first token');
});

t.test('whatever comes, nothing is thrown and little is held', async () => {
  const piece = fc.oneof(
    fc.uint8Array(),
    fc.constantFrom('{', '"', ':', '}', ']', '"id"', '1', ',', '\\').map((text) => Buffer.from(text)),
  );
  const check = fc.property(fc.array(piece), (pieces) => {
    const scanner = createRequestIdScanner();
    for (const each of pieces) scanner.write(Buffer.from(each));
    return (scanner.id()?.length ?? 0) <= 1024;
  });
  fc.assert(check, { numRuns: 2000 });
});
