// The event stream filter held against a plain reading of the standard, whatever pieces the stream comes in.
import fc from 'fast-check';
import t from 'tap';
import { createEventStreamFilter, type EventStreamOptions } from '../../src/mcp/response/sse-filter.ts';

/** What a reader dispatches, as WHATWG HTML §9.2.6 says, and what no event's data changes. */
interface Read {
  readonly events: readonly { readonly data: string; readonly type: string; readonly id: string }[];
  readonly retry: readonly string[];
  readonly comments: readonly string[];
}

function read(bytes: Buffer): Read {
  const text = bytes.toString().replace(/^\ufeff/, '');
  const lines = text.split(/\r\n|\n|\r/);
  lines.pop();
  const events: { data: string; type: string; id: string }[] = [];
  const retry: string[] = [];
  const comments: string[] = [];
  let data: string[] = [];
  let type = '';
  let id = '';
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push({ data: data.join('\n'), type, id });
      data = [];
      type = '';
      continue;
    }
    const at = line.indexOf(':');
    if (at === 0) comments.push(line);
    const name = at === -1 ? line : line.slice(0, at);
    const value = at === -1 ? '' : line.slice(at + 1).replace(/^ /, '');
    if (name === 'data') data.push(value);
    else if (name === 'event') type = value;
    else if (name === 'id') id = value;
    else if (name === 'retry') retry.push(value);
  }
  return { events, retry, comments };
}

function filtered(pieces: readonly Buffer[], options: Partial<EventStreamOptions> = {}): Buffer {
  const filter = createEventStreamFilter({ rewrite: () => undefined, maxBytes: 1 << 20, resumable: true, ...options });
  const out = pieces.map((piece) => filter.write(piece));
  return Buffer.concat([...out, filter.end()].filter((piece) => piece !== undefined));
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((one, other) => one - other), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const line = fc.oneof(
  fc.constantFrom(
    'data',
    'data:',
    'data: ',
    'data:  x',
    'data: {"a":1}',
    'data:é',
    'data: {"a":',
    'data: "b"}',
    'datax: 1',
  ),
  fc.constantFrom(':', ': ping', 'id: 7', 'id', 'event: message', 'event:x', 'retry: 10', 'other: y', 'dat: z'),
  fc.constant(''),
  fc.constant(''),
);
const ending = fc.constantFrom('\n', '\r\n');
const stream = fc
  .tuple(
    fc.constantFrom('', '\ufeff'),
    fc.array(fc.tuple(line, ending), { maxLength: 30 }),
    fc.constantFrom('', 'data: cut', 'id: 9'),
  )
  .map(([mark, lines, rest]) => Buffer.from(mark + lines.map((parts) => parts.join('')).join('') + rest));
const otherEndings = ['\v', '\f', '\0', '\x1e', '\u0085', '\u2028', '\u2029', '\ufeff'];
const nearlyData = [' data: z', 'DATA: x', 'data :y', 'Data', '\tdata:', 'data\u00a0: x'];
/** With line ends of a CR alone too, characters that some readers take for one, and lines that only lax readers take for data. */
const ambiguous = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 9, arbitrary: line }, fc.constantFrom(...nearlyData)),
      fc.constantFrom('', ...otherEndings),
      fc.oneof(ending, fc.constant('\r')),
    ),
    {
      maxLength: 12,
    },
  )
  .map((lines) => Buffer.from(lines.map((parts) => parts.join('')).join('')));
const places = fc.array(fc.nat(), { maxLength: 12 });

t.test('what is not changed passes to the byte, in whatever pieces it comes', async () => {
  const check = fc.property(stream, places, (bytes, at) => filtered(cut(bytes, at)).equals(bytes));
  fc.assert(check, { numRuns: 3000 });
});

t.test('a changed event has its new data and nothing else is another, for every way of cutting', async () => {
  const check = fc.property(stream, places, (bytes, at) => {
    const whole = Buffer.concat([bytes, Buffer.from('\n\n')]);
    const seen: string[] = [];
    const rewrite = (text: Buffer): Buffer | undefined => {
      seen.push(text.toString());
      return text.includes('{') ? Buffer.from('[1,\n2]') : undefined;
    };
    const before = read(whole);
    const after = read(filtered(cut(whole, at), { rewrite }));
    const expected = before.events.map((event) => (event.data.includes('{') ? { ...event, data: '[1,\n2]' } : event));
    return (
      JSON.stringify(after) === JSON.stringify({ ...before, events: expected }) &&
      JSON.stringify(seen) === JSON.stringify(before.events.map(({ data }) => data))
    );
  });
  fc.assert(check, { numRuns: 3000 });
});

t.test('without ids nobody can resume the stream, and all else is as it was', async () => {
  const check = fc.property(stream, places, (bytes, at) => {
    const whole = Buffer.concat([bytes, Buffer.from('\n\n')]);
    const { events, retry } = read(whole);
    const after = read(filtered(cut(whole, at), { resumable: false }));
    const expected = { events: events.map((event) => ({ ...event, id: '' })), retry };
    return JSON.stringify({ events: after.events, retry: after.retry }) === JSON.stringify(expected);
  });
  fc.assert(check, { numRuns: 2000 });
});

t.test('a stream in which some reader could see other lines is refused, in whatever pieces it comes', async () => {
  const check = fc.property(ambiguous, places, (bytes, at) => {
    const text = bytes.toString().replace(/^\ufeff/, '');
    const isData = (each: string) => /^data(?::|$)/.test(each);
    const isRefused =
      /\r(?!\n)/.test(text) ||
      text
        .split(/\r?\n/)
        .some(
          (each) =>
            !isData(each) &&
            (otherEndings.some((end) => each.includes(end)) || each.split(':')[0]!.trim().toLowerCase() === 'data'),
        );
    try {
      return filtered(cut(bytes, at)).equals(bytes) && !isRefused;
    } catch (error) {
      return isRefused && (error as Error).message.startsWith('a line of the event stream');
    }
  });
  fc.assert(check, { numRuns: 3000 });
});

t.test('nothing waits but an event with data, until it is whole', async (t) => {
  const filter = createEventStreamFilter({ rewrite: () => undefined, maxBytes: 100, resumable: true });
  const steps: [string, string][] = [
    [': ping\n', ': ping\n'],
    ['\n', '\n'],
    ['id: 1\nretry: 5\nda', 'id: 1\nretry: 5\n'],
    ['ta: x\n: held\n', ''],
    ['\n', 'data: x\n: held\n\n'],
    ['data: y\r\n\r', ''],
    ['\ndata: z', 'data: y\r\n\r\n'],
  ];
  for (const [piece, expected] of steps) t.equal(filter.write(Buffer.from(piece))?.toString() ?? '', expected, piece);
  t.equal(filter.end()?.toString(), 'data: z', 'what the end cuts off comes last');
  t.equal(filter.write(Buffer.alloc(0)), undefined);
});

t.test('an event that the end of the stream cuts off is looked at all the same', async (t) => {
  const rewrite = () => Buffer.from('{}\n');
  t.equal(filtered([Buffer.from('data: {"secret":1}')], { rewrite }).toString(), 'data: {}\ndata: ');
  t.equal(filtered([Buffer.from('data: {"secret":1}\n')], { rewrite }).toString(), 'data: {}\ndata: \n');
});

t.test('more than the bound is not held, in one line or in many', async (t) => {
  const limit = { maxBytes: 1000 };
  t.throws(() => filtered([Buffer.from(`data: ${'x'.repeat(1000)}`)], limit), RangeError);
  t.throws(() => filtered(new Array(1000).fill(Buffer.from('data: x\n')), limit), RangeError);
  t.throws(() => filtered(new Array(1000).fill(Buffer.from(': x')), limit), RangeError);
  const many = new Array(1000).fill(Buffer.from('data: x\n\n: ping\n'));
  t.equal(filtered(many, limit).length, 16_000, 'only what is held counts');
  const slow = [...`data: ${'x'.repeat(900)}\n\n`].map((letter) => Buffer.from(letter));
  t.equal(filtered([...slow, ...slow], limit).length, 2 * 908);
});
