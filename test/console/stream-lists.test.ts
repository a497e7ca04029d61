// Lists below the open streams: their next parts stand alone, and under the filter of the page.
import t from 'tap';
import { html } from '../../src/console/html/html.ts';
import type { PageRequest } from '../../src/console/page.ts';
import type { StreamsFacts, StreamsQuery } from '../../src/console/streams/facts.ts';
import { streams } from '../../src/console/streams/page.ts';
import { textOf } from '../support/console.ts';
import { linksIn } from '../support/page-weight.ts';

const each = <T>(count: number, of: (index: number) => T) => Array.from({ length: count }, (_, index) => of(index));
const facts: StreamsFacts = {
  ...{ open: 900, matching: 900, streams: [], hasSharedState: false },
  sessions: each(50, (index) => ({
    ...{ mark: `mark-${index}`, route: 'x', client: 'c'.repeat(200), subject: 's'.repeat(200), streams: 1 },
  })),
  routes: each(200, (index) => ({ name: `route-${index}`, issuesSessions: true })),
  revocations: [],
};
const asked: StreamsQuery[] = [];
const source = {
  async streams(query: StreamsQuery) {
    asked.push(query);
    return facts;
  },
} as unknown as PageRequest['source'];

async function render(query: string) {
  const of = { source, worker: undefined, processes: [], params: {}, viewer: undefined, now: 0 };
  const { body, lead } = await streams.render({ ...of, query: new URLSearchParams(query) });
  return { text: textOf(body), lead: textOf(html`${lead}`) };
}

t.test('the next sessions are those of the filter, and the way back keeps it', async (t) => {
  const filter = { client: 'alice', route: 'x', sort: 'bytes' } as const;
  const { text } = await render(`${new URLSearchParams(filter)}`);
  const next = linksIn(text, ' rel="next"').find((link) => link.includes('list=sessions'));
  t.match(next, /^\/streams\?client=alice&route=x&sort=bytes&list=sessions&from=\d+$/);
  const { lead } = await render(next!.slice('/streams?'.length));
  t.strictSame(asked, [filter, filter]);
  t.strictSame(linksIn(lead), ['/streams?client=alice&route=x&sort=bytes']);
});

t.test('sessions and the routes that gave ids out stand alone, each without the other', async (t) => {
  const whole = (await render('')).text;
  t.match(whole, 'mark-0');
  t.match(whole, 'given out on');
  const issuing = (await render('list=issuing&from=20')).text;
  t.match(issuing, '<code>route-20</code>');
  t.notMatch(issuing, 'mark-');
  const sessions = (await render('list=sessions&from=7')).text;
  t.match(sessions, 'mark-7');
  t.notMatch(sessions, 'given out on');
});
