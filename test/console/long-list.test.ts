// Long lists and choices of the console: as much as a page has room for, and a way to the rest.
import t from 'tap';
import { optionsOf, select } from '../../src/console/html/choice.ts';
import { html } from '../../src/console/html/html.ts';
import { aloneIn, partOf } from '../../src/console/html/list-part.ts';
import { longTable } from '../../src/console/html/long-list.ts';
import { textOf } from '../support/console.ts';
import { linksIn } from '../support/page-weight.ts';

const names = (count: number) => Array.from({ length: count }, (_, index) => `name-${index}`);

t.test('a table among others has room for some rows, and the next ones stand alone', (t) => {
  const tableOf = (count: number, query = '', filter = {}) => {
    const alone = aloneIn(new URLSearchParams(query), ['keys', 'others']);
    const list = { name: 'keys', label: 'Keys', bytes: 1000, path: '/page', request: { worker: 2 }, alone, filter };
    const options = { caption: 'Keys', columns: ['Key'], empty: 'There is none.' };
    const text = textOf(longTable(partOf(names(count), 'keys', alone), list, options, (name) => [name]));
    const shown = [...text.matchAll(/name-\d+/g)].map(([name]) => name);
    return { first: shown[0], count: shown.length, links: linksIn(text), text };
  };
  t.match(tableOf(0), { count: 0, links: [], text: 'There is none.' });
  t.match(tableOf(5), { count: 5, links: [] });
  const { count, links } = tableOf(500);
  t.ok(count > 5 && count < 20, `${count}`);
  t.strictSame(links, [`/page?list=keys&from=${count}&worker=2`]);
  t.match(tableOf(500, '', { client: 'a b' }), {
    links: [`/page?client=a+b&list=keys&from=${count}&worker=2`],
  });
  t.match(tableOf(500, `list=keys&from=${count}`), { first: `name-${count}`, count: 200 });
  t.match(tableOf(500, 'list=others&from=7'), { first: 'name-0' }, 'another list stands alone');
  t.match(tableOf(500, 'list=keys&from=9999'), { first: 'name-499', links: ['/page?list=keys&from=0&worker=2'] });
  t.end();
});

t.test('a choice is a list of all, or a field that takes any and offers as many as there is room for', (t) => {
  const few = textOf(select('route', 'Route', 'name-1', 'all', optionsOf(names(3))));
  t.match(few, /<label>Route<select name="route" ><option value="">all<\/option>/);
  t.match(few, '<option selected>name-1</option>');
  const many = textOf(select('route', 'Route', '"<b>', 'all', optionsOf(names(900))));
  t.match(many, /<input name="route" value="&#34;&#60;b&#62;" list="offers-route" placeholder="all, or one of 900"/);
  t.match(many, '<datalist id="offers-route"><option value="name-0"></option>');
  t.ok(Buffer.byteLength(many) < 6000);
  t.match(textOf(html`${select('bound', 'Bound', 'on', 'no', [['on', 'yes']])}`), '<option value="on" selected>yes');
  t.end();
});
