// `portcullis who-can`: the access review of the examples, its formats and its exit codes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { whoCanCommand } from '../../src/cli/policy/who-can.ts';
import { exampleFiles } from '../config/example-files.ts';
import { fileOf, now, writeFiles } from '../config/support.ts';
import { capture } from './capture.ts';

const root = join(import.meta.dirname, '../..');
const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
const files = await exampleFiles();

async function whoCan(folder: string, ...args: readonly string[]) {
  const output = capture();
  const command = whoCanCommand({ output, env: {}, now: () => now });
  await command.parseAsync(['-c', join(folder, 'gateway.yaml'), ...args], { from: 'user' });
  return { text: output.text(), errors: output.errors(), exitCode: output.exitCode };
}

function exampleIn(folder: string, yaml = example): string {
  writeFiles(folder, { ...files, 'gateway.yaml': yaml });
  return folder;
}

t.test('who-can --tool execute_sql names the AI agent with its condition and nobody else', async (t) => {
  const { text, exitCode } = await whoCan(exampleIn(t.testdir()), '--tool', 'execute_sql');
  t.equal(exitCode, 0);
  t.equal(
    text,
    [
      'superset-mcp  /mcp',
      '  execute_sql',
      '      ai_agent_prod of corp-oauth: with scope queries:execute, with a certificate of workloads, if',
      '        `request.limit` >= 1 and `request.limit` <= 1000 [sql]',
      '',
    ].join('\n'),
  );
  const page = readFileSync(join(root, 'docs/review-access.md'), 'utf8');
  t.ok(page.includes(text), 'docs/review-access.md shows the same');
});

t.test('the whole example fits a page', async (t) => {
  const { text } = await whoCan(exampleIn(t.testdir()));
  const lines = text.split('\n');
  t.ok(lines.length < 80 && lines.every((line) => line.length <= 100), `${lines.length} lines`);
  t.match(text, /\n {2}extensions\.acme\.\*\n {6}ai_agent_prod of corp-oauth: .*with scope queries:execute/);
  t.match(
    text,
    /\n {2}POST \/api\/exports\n {6}key legacy-keys\/reporting-tool-1: from 10\.0\.0\.0\/8, until 2027-06-30 /,
  );
  t.match(text, /\n {2}GET\|POST\|PUT\|PATCH\|DELETE\|OPTIONS \/health\n {6}anyone: yes /);
});

t.test('cells are for programs: every caller with every item', async (t) => {
  const folder = exampleIn(t.testdir());
  const cells = JSON.parse((await whoCan(folder, '--tool', 'execute_sql', '--json')).text) as Record<string, unknown>[];
  t.same(
    cells.flatMap(({ caller, access }) => (access === 'no' ? [] : [caller])),
    ['client corp-oauth/ai_agent_prod'],
  );
  t.ok(cells.some(({ caller }) => caller === 'key legacy-keys/reporting-tool-1'));
  const csv = (await whoCan(folder, '--format', 'csv', '--tool', 'execute_sql')).text.split('\r\n');
  t.equal(csv[0], 'route,path,kind,item,caller,access,condition,rules,refused');
  t.equal(csv.length, cells.length + 2);
  t.match(
    (await whoCan(folder, '--format', 'markdown', '--route', 'dashboards')).text,
    /\| dashboards .*\| any token of corp-oauth .*\| with scope dashboards:read \| scopes \|/,
  );
});

t.test('a client that the file does not name is one of any token', async (t) => {
  const { text } = await whoCan(exampleIn(t.testdir()), '--client', 'analytics_frontend', '--route', 'superset-mcp');
  t.match(text, /list_dashboards\n {6}analytics_frontend of corp-oauth or partner-opaque: with scope dashboards:read /);
  t.notMatch(text, /ai_agent_prod|reporting/);
  t.match(text, /execute_sql.*\n? *nobody/s);
});

t.test('a key is shown as refused from its end on, and a revoked one at once', async (t) => {
  const folder = exampleIn(t.testdir());
  const later = await whoCan(folder, '--at', '2027-06-30', '--route', 'exports');
  t.match(later.text, /Refused at this time: key legacy-keys\/reporting-tool-1 \(sunset\)/);
  t.notMatch(later.text, /from 10\.0\.0\.0/);
  writeFiles(folder, { 'revoked.yaml': 'keyIds: [reporting-tool-1]\n' });
  t.match((await whoCan(folder, '--route', 'exports')).text, /reporting-tool-1 \(revoked\)/);
});

t.test('issuedBefore of the revocation list refuses every token until then', async (t) => {
  const folder = exampleIn(t.testdir());
  writeFiles(folder, { 'revoked.yaml': 'issuedBefore: 2027-01-01\n' });
  const { text } = await whoCan(folder, '--tool', 'execute_sql');
  t.match(text, /execute_sql\n {6}nobody/);
  const refused = text.replaceAll('\n  ', ' ');
  t.match(refused, /any token of corp-oauth \(every token issued before 2027-01-01\)/);
  t.notMatch(refused, /(key|certificate) \S+ \(every token/);
  const [cell] = JSON.parse((await whoCan(folder, '--tool', 'execute_sql', '--json')).text) as { refused?: string }[];
  t.equal(cell?.refused, 'every token issued before 2027-01-01');
  const exports = await whoCan(folder, '--route', 'exports');
  t.match(exports.text, /key legacy-keys\/reporting-tool-1: from 10/, 'keys go on');
  const later = await whoCan(folder, '--tool', 'execute_sql', '--at', '2027-01-01');
  t.match(later.text, /ai_agent_prod of corp-oauth: with scope/);
  t.notMatch(later.text, /Refused at this time: .*token/);
});

t.test('a denial when args.a > 5 before an allow: a call without a is denied too', async (t) => {
  const folder = t.testdir();
  const wordsOf = async (deny: string): Promise<string> => {
    const rules = `[{deny: {tools: [t], ${deny}}}, {allow: {tools: [t]}}]`;
    const routes = `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: ${rules}}}]`;
    writeFiles(folder, {
      'gateway.yaml': fileOf({ authenticators: '{corp: {type: jwt, issuer: "https://idp.example.com/"}}', routes }),
    });
    return (await whoCan(folder, '--tool', 't')).text.replaceAll('\n        ', ' ');
  };
  t.match(await wordsOf('when: "args.a > 5"'), 'any token of corp: unless `a` > 5, if the arguments can be judged [');
  t.match(
    await wordsOf('networks: [10.0.0.0/8], when: "args.a > 5"'),
    'any token of corp: unless from 10.0.0.0/8 and (`a` > 5 or the arguments cannot be judged) [',
  );
  t.match(await wordsOf(`when: "request.path == '/x'"`), "any token of corp: unless `request.path` == '/x' [");
});

t.test('misuse is told', async (t) => {
  const folder = exampleIn(t.testdir());
  const route = await whoCan(folder, '--route', 'dashboard');
  t.match(route, { exitCode: 2, text: '', errors: /no route is named dashboard \(did you mean "dashboards"\?\)/ });
  t.match(await whoCan(folder, '--tool', 'nothing_*'), { exitCode: 2, errors: /no tool is named nothing_\*/ });
});
