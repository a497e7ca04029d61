// Policy page: rules with hits, the matrix of who can do what, explanations, as a browser without script gets them.
import t from 'tap';
import { html } from '../../src/console/html/html.ts';
import { paging } from '../../src/console/html/long-list.ts';
import { textOf } from '../support/console.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const rules = [
  { deny: { tools: ['delete_*'] } },
  { name: 'view', allow: { tools: ['list_dashboards', 'list_charts'] }, require: { scopes: ['dashboards:read'] } },
  {
    name: 'sql',
    allow: { tools: ['execute_sql'], clients: ['corp/ai_agent_prod'] },
    require: { scopes: ['queries:execute'], when: 'has(args.limit) && args.limit <= 1000' },
    message: 'Ask for <1000 rows.',
  },
  { name: 'late', allow: { tools: ['list_charts'] }, require: { scopes: ['dashboards:read'] } },
  { name: 'probe', mode: 'report', allow: { tools: ['list_dash*'] } },
];

t.test('a part of a list leads on to the next, and back to the first, as parts are not of one length', (t) => {
  const linksOf = (from: number, shown: number) => {
    const links = textOf(paging('Rules', { from, shown, total: 50 }, (at) => `/at/${at}`) ?? html``);
    return [...links.matchAll(/href="([^"]+)"[^>]*>(\w+)</g)].map(([, href, word]) => `${word} ${href}`);
  };
  t.strictSame(linksOf(0, 50), []);
  t.strictSame(linksOf(0, 12), ['Next /at/12']);
  t.strictSame(linksOf(24, 12), ['First /at/0', 'Next /at/36']);
  t.strictSame(linksOf(36, 14), ['First /at/0']);
  t.end();
});

t.test('a gateway with rules', async (t) => {
  const { admin, agent, frontend, readiness, records, upstream } = await startScenario(
    t,
    { routes: { '/mcp': { mcp: { rules } } } },
    { inject: true },
  );
  // A busy machine may take longer for the first fetch of the issuer's keys than the gateway waits.
  await until(async () => (await readiness()).status === 200, 'the keys of the issuer are there');
  const page = async (query: Record<string, string>) => {
    const response = await admin(`/policy?${new URLSearchParams(query)}`);
    return { status: response.status, text: await response.text() };
  };
  const plain = (text: string) =>
    text
      .replace(/<[^>]*>/g, ' ')
      .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
      .replace(/\s+/g, ' ')
      .trim();
  /** The cells of the row of a rule. */
  const rowOf = (text: string, rule: string) =>
    plain(text.split(/<tr role="row">|<\/tr>/).find((each) => each.includes(`<code>${rule}</code>`)) ?? '');

  t.test('a rule has its selectors, demands, place in the file and no hit before the first call', async (t) => {
    const { status, text } = await page({});
    t.equal(status, 200);
    t.match(
      rowOf(text, 'sql'),
      /^sql gateway\.yaml:\d+ allow never hit tools execute_sql clients corp\/ai_agent_prod scopes queries:execute when has\(args\.limit\) && args\.limit <= 1000 tells: Ask for <1000 rows\. 0 0 never/,
    );
    t.match(rowOf(text, 'late'), /unreachable can never match: rules\[1\] .*view.* comes first and covers it/);
    t.match(rowOf(text, 'probe'), 'report only');
    t.match(rowOf(text, 'default'), 'everything that no rule matches');
    t.match(text, '<a href="/decisions?decision&#61;deny&#38;reason&#61;denied"><code>default</code>');
    t.match(text, '<a href="/decisions?rule&#61;open"><code>needs no rule</code>');
    t.notMatch(text, '<1000');
  });

  t.test('an allowed, a denied, an unmatched and a reported call count where they were decided', async (t) => {
    await agent.call('execute_sql', { limit: 10 });
    await agent.call('execute_sql', { limit: 5000 });
    await agent.call('drop_table');
    await frontend.call('delete_all');
    const { text } = await page({});
    t.match(rowOf(text, 'sql'), /1 1 (now|\d+ seconds? ago)$/);
    t.match(rowOf(text, 'rules[0]'), /0 1 (now|\d+ seconds? ago)$/);
    t.match(rowOf(text, 'default'), /0 1 (now|\d+ seconds? ago)$/);
    t.match(rowOf(text, 'view'), /never hit .* 0 0 never, counted since/);
    const { text: never } = await page({ only: 'never' });
    t.notMatch(never, '<code>sql</code>');
    t.match(never, '<code>view</code>');
    const { text: unreachable } = await page({ only: 'unreachable' });
    t.match(unreachable, '<code>late</code>');
    t.notMatch(unreachable, '<code>view</code>');
  });

  t.test('who can: the agent under conditions, others not, filtered by tool and client', async (t) => {
    const asked = { view: 'who-can', tool: 'execute_*', client: 'ai_agent_prod' };
    // A busy machine may take longer than a page waits.
    let { text } = await page(asked);
    while (text.includes('is worked out between requests')) ({ text } = await page(asked));
    t.match(text, /<code>execute_sql<\/code>/);
    t.match(plain(text), /if … with scope queries:execute, if `limit` <= 1000 \[sql\]/);
    t.notMatch(text, '<code>list_charts</code>');
    const { text: other } = await page({ view: 'who-can', tool: 'execute_sql', client: 'nobody-known' });
    t.match(other, 'No rule, key or certificate names');
    t.match(other, '<td class="no">no</td>');
    const { text: none } = await page({ view: 'who-can', tool: 'nothing_of_the_kind' });
    t.match(none, 'No tool is named so');
  });

  t.test('a place behind the end is the last row', async (t) => {
    const { text: last } = await page({ from: '9999' });
    t.match(plain(last), /Rules (\d+) to \1 of \1 /);
    t.notMatch(last, 'No rule is like that.');
    const asked = { view: 'who-can', tool: 'execute_*', item: '9999', caller: '9999' };
    let { text } = await page(asked);
    while (text.includes('is worked out between requests')) ({ text } = await page(asked));
    t.match(plain(text), / Callers (\d+) to \1 of \1 /);
    t.match(text, '<code>execute_sql</code>');
  });

  t.test('a download has the columns and cells of the command, and no cell is a formula', async (t) => {
    const csv = await admin('/policy/who-can.csv?tool=execute_sql');
    t.match(csv.headers.get('content-disposition'), 'attachment; filename="who-can.csv"');
    const [head, ...lines] = (await csv.text()).trim().split('\r\n');
    t.equal(head, 'route,path,kind,item,caller,access,condition,rules,refused');
    t.match(
      lines.find((line) => line.includes('client corp/ai_agent_prod')),
      /,conditional,"?with scope .*,sql,$/,
    );
    const json = (await (await admin('/policy/who-can.json?tool=execute_sql')).json()) as { access: string }[];
    t.equal(json.length, lines.length);
  });

  const sql = { view: 'explain', client: 'ai_agent_prod', kind: 'tool', route: '/mcp', tool: 'execute_sql' };

  t.test(
    'explain: the walk of a call that is allowed, of one that lacks a demand, and of one without a credential',
    async (t) => {
      const seen = upstream.requests.length;
      const { text } = await page({ ...sql, scopes: 'queries:execute dashboards:read', args: '{"limit": 10}' });
      t.match(text, '<h2>Allowed</h2>');
      t.match(text, 'no match: tools delete_*');
      t.match(text, /<code>sql<\/code> allow <strong>governs<\/strong>/);
      t.match(text, 'scopes queries:execute (held)');
      t.match(text, /gets <code>POST http/);
      const { text: denied } = await page({ ...sql, scopes: 'dashboards:read', args: '{"limit": 10}' });
      t.match(denied, '<h2>Refused: insufficient_scope</h2>');
      t.match(denied, 'queries:execute (missing)');
      const { text: anonymous } = await page({ view: 'explain', kind: 'path', method: 'get', path: '/api/x' });
      t.match(anonymous, /<h2>Refused: credentials_required/);
      t.equal(upstream.requests.length, seen, 'nothing was sent');
    },
  );

  t.test('explain tells a mistake beside its field', async (t) => {
    const { text } = await page({ ...sql, tool: '', args: '{"limit": ' });
    t.match(text, 'The request cannot be explained');
    const { text: json } = await page({ ...sql, args: '{"limit": ' });
    t.match(json, /<p class="problem" id="args-problem">/);
    const { text: claims } = await page({ ...sql, claims: '{', authenticator: 'corp-oath' });
    t.match(claims, /id="claims-problem">is no JSON/);
    const { text: unknown } = await page({ ...sql, authenticator: 'corp-oath' });
    t.match(unknown, /id="authenticator-problem">unknown authenticator/);
    const { text: long } = await page({ ...sql, args: `{"a": "${'x'.repeat(7000)}"}` });
    t.match(long, /id="args-problem">has more than 6000 characters/);
  });

  t.test('a token or key that is put into the form is refused and not repeated', async (t) => {
    const jwt = 'eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ4In0.c2ln';
    const key = `sk_${'a'.repeat(40)}`;
    for (const [field, secret] of [
      ['client', jwt],
      ['args', `{"token": "${jwt}"}`],
      ['key', key],
      ['claims', `{"k": "Bearer ${key}"}`],
      ['path', `/x?key=${key}`],
      ['path', `/x?key=sk%5F${'a'.repeat(40)}`],
      ['path', `/x${jwt}`],
      ['params', `Bearer=${key}`],
      ['params', `{"k": "\\u0073k_${'a'.repeat(40)}"}`],
      ['tool', `x${key}`],
      ['tool', `x${jwt}`],
    ] as const) {
      const { text } = await page({ ...sql, [field]: secret });
      t.match(text, `id="${field}-problem">looks like a token or key`, field);
      for (const part of [secret, jwt, 'a'.repeat(40)]) t.notMatch(text, part, field);
    }
    const { text } = await page({ ...sql, tool: 'task_history_of_dashboards' });
    t.match(text, 'value="task_history_of_dashboards"');
    const all = JSON.stringify(await records());
    t.notMatch(all, jwt);
    t.notMatch(all, key);
  });

  t.test('names of others are text', async (t) => {
    const hostile = '"><script>alert(1)</script>';
    for (const field of ['client', 'tool', 'args', 'route', 'path', 'from', 'kind', 'only'] as const) {
      for (const view of ['rules', 'who-can', 'explain']) {
        const { text } = await page({ ...sql, view, [field]: hostile });
        t.notMatch(text, '<script>alert', `${view} ${field}`);
      }
    }
  });
  t.end();
});
