// Page of one decision: its reading under the policy in force, and the same request under the file on the disk and the shadow.
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { partsOf } from '../../src/console/policy/explanation-steps.ts';
import { createProcessSource } from '../../src/console/process-source.ts';
import { type Changes, configure, listDashboards, yamlOf } from '../support/configuration.ts';
import { textOf } from '../support/console.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const sql = {
  name: 'sql',
  allow: { tools: ['execute_sql'] },
  require: { scopes: ['dashboards:read'], when: 'has(args.limit) && args.limit <= 10' },
};
const next = { routes: { '/mcp': { mcp: { rules: [{ name: 'nobody', deny: { tools: ['list_*'] } }] } } } };
const route = (changes: object) => ({ routes: { '/mcp': { mcp: { rules: [listDashboards, sql], ...changes } } } });

t.test('why', async (t) => {
  const issuer = await createFakeIssuer();
  const upstream = await startUpstream();
  t.teardown(async () => {
    await upstream.close();
    await issuer.close();
  });
  const written = (changes: Changes) =>
    yamlOf(configure({ upstreamUrl: upstream.url, issuer: issuer.issuer }, changes));
  const { admin, agent, anybody, directory, gateway, recordOf, write } = await startScenario(
    t,
    { shadow: { file: 'next.yaml' }, ...route({}) },
    { issuer, upstream, files: { 'next.yaml': written(next) } },
  );
  const yaml = await readFile(`${directory}/gateway.yaml`, 'utf8');
  const pageOf = async ({ id }: { readonly id: string }, query = '') => {
    let page = '';
    const isOpened = async () => {
      page = await (await admin(`/decisions/${id}${query}`)).text();
      return !/<code>(opening|busy)<\/code>/.test(page);
    };
    await until(isOpened, 'the policy is opened');
    return page;
  };
  /** A row of the table of decisions: its cells without tags. */
  const verdictOf = (page: string, under: string) =>
    new RegExp(`<th scope="row" role="rowheader">${under}</th>(.*?)</tr>`, 's')
      .exec(page)?.[1]
      ?.split('</td>')
      .map((cell) => cell.replace(/<[^>]+>/g, ''));

  const listed = await agent.call('list_dashboards');
  const queried = await agent.call('execute_sql', { limit: 99 });
  const stranger = await anybody.call('list_dashboards');
  for (const each of [listed, queried, stranger]) await recordOf(each);

  t.test('an allowed call: the rule that governs, and what it demands', async (t) => {
    const page = await pageOf(listed);
    t.match(page, 'requires scopes dashboards:read (held)');
    t.match(page, 'that of the record');
    t.match(verdictOf(page, 'Then'), [/.{12}/, 'allow', 'rules[0]', '', '']);
    t.match(verdictOf(page, 'Policy in force'), [/.{12}/, 'allow', 'rules[0]', '', '']);
    t.equal(verdictOf(page, 'Tried'), undefined);
    t.match(page, '<option value="file">');
    t.match(page, '<option value="shadow">');
  });

  t.test('a call whose arguments are recorded as a digest: it cannot be told', async (t) => {
    const page = await pageOf(queried);
    t.match(verdictOf(page, 'Then'), [/.{12}/, 'deny', 'sql', 'denied', '']);
    t.match(verdictOf(page, 'Policy in force')?.[1], 'cannot be told it depends on arguments');
    t.match(page, 'Not in the record: arguments');
  });

  t.test('a request that was refused before the rules, for its lack of credentials', async (t) => {
    const page = await pageOf(stranger);
    t.match(verdictOf(page, 'Then')?.[1], 'refused before the rules: credentials_required');
    t.match(verdictOf(page, 'Policy in force'), [/.{12}/, 'deny', '', 'credentials_required', '']);
  });

  t.test('under the shadow, and under the file as it is now', async (t) => {
    t.match(verdictOf(await pageOf(listed, '?under=shadow'), 'Tried'), [/.{12}/, 'deny', 'nobody', 'denied', '']);
    t.match(verdictOf(await pageOf(listed, '?under=file'), 'Tried'), [
      /.{12} that of the record/,
      'allow',
      'rules[0]',
      '',
      '',
    ]);
    await write('gateway.yaml', written(next));
    const page = await pageOf(listed, '?under=file');
    t.match(verdictOf(page, 'Tried'), [/.{12}/, 'deny', 'nobody', 'denied', '']);
    t.match(verdictOf(page, 'Policy in force'), [/.{12}/, 'allow', 'rules[0]', '', ''], 'which is as before');
  });

  t.test('under a file with a mistake: its problems with their places', async (t) => {
    await write('gateway.yaml', `${yaml}\nauditt: <b>1</b>\n`);
    const page = await pageOf(listed, '?under=file');
    t.match(page, /gateway\.yaml:\d+:1 auditt: /);
    t.notMatch(page, '<b>1</b>');
    await write('gateway.yaml', yaml);
  });

  t.test('under a file with long mistakes: the first ones, in bounds after they are escaped', async (t) => {
    const mistakes = Array.from({ length: 30 }, (_, index) => `"${index}${'='.repeat(1000)}": 1\n`);
    await write('gateway.yaml', `${yaml}\n${mistakes.join('')}`);
    const page = await pageOf(listed, '?under=file');
    const [, tried = ''] = /<section class="card" id="tried">(.*?)<\/section>/s.exec(page) ?? [];
    t.match(tried, '&#61;&#61;');
    t.match(tried, /and \d+ more/);
    t.ok(Buffer.byteLength(tried) < 12_000, `${Buffer.byteLength(tried)} bytes`);
    await write('gateway.yaml', yaml);
  });

  t.test('an id without records, and texts that are no id', async (t) => {
    for (const id of ['00000000-0000-4000-8000-000000000000', '%3Cb%3E', '%22']) {
      const answer = await admin(`/decisions/${id}`);
      t.equal(answer.status, 404);
      const text = await answer.text();
      t.match(text, 'portcullis audit show');
      t.notMatch(text, '<b>');
    }
  });

  t.test('of a thousand rules that did not match the first hundred are shown, and each that did', (t) => {
    const rule = (index: number, outcome: string) => ({
      rule: `rule-${index}`,
      effect: 'allow',
      mode: 'enforce',
      outcome,
      selectors: [{ selector: 'tools', wanted: ['x'], matches: outcome !== 'no_match' }],
      demands: [],
    });
    const rules = Array.from({ length: 1000 }, (_, index) => rule(index, 'no_match'));
    const part = { decision: { allow: true }, rules: [...rules, rule(1000, 'governs')] };
    const text = textOf(partsOf([part] as unknown as Parameters<typeof partsOf>[0], [0]));
    t.match(text, '<code>rule-99</code>');
    t.notMatch(text, '<code>rule-100</code>');
    t.match(text, '900 more rules did not match');
    t.match(text, '<code>rule-1000</code>');
    t.end();
  });

  t.test('of the 17 parts of a message three are shown, which share the bytes of one', (t) => {
    const rule = (index: number) => ({
      rule: `rule-${index}`,
      effect: 'allow',
      mode: 'enforce',
      outcome: 'no_match',
      selectors: [{ selector: 'tools', wanted: ['x'.repeat(100)], matches: false }],
      demands: [],
    });
    const rules = Array.from({ length: 100 }, (_, index) => rule(index));
    const name = '"'.repeat(2000);
    const parts = Array.from({ length: 17 }, (_, index) => ({
      decision: index === 15 ? { allow: false, reason: 'the-denied-one', missingScopes: [] } : { allow: true },
      method: 'resources/read',
      target: { name },
      rules,
    }));
    const textOfParts = (count: number) =>
      textOf(partsOf(parts.slice(-count) as unknown as Parameters<typeof partsOf>[0], []));
    const text = textOfParts(17);
    t.match(text, '14 more parts of the message');
    t.match(text, 'the-denied-one', 'the one that is not allowed is among them');
    t.equal(text.split('<ol class="walk">').length - 1, 3);
    const [one, all] = [textOfParts(1), text].map((each) => Buffer.byteLength(each));
    t.ok(all! < one! + 3000, `${all} bytes of 17 parts, ${one} of one`);
    t.end();
  });

  t.test('facts are plain values, which another process can give', async (t) => {
    const found = await createProcessSource(gateway.parts).decision({ id: listed.id, under: 'shadow' });
    t.strictSame(structuredClone(found), found);
  });
  t.end();
});
