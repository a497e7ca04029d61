// Trial under the file on the disk: a large policy holds up no request, and each bound has an outcome with a name.
import { utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { createFileTrial } from '../../src/console/decisions/file-trial.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { type Changes, configure, listDashboards, yamlOf } from '../support/configuration.ts';

const rules = Array.from({ length: 1000 }, (_, index) => ({
  name: `rule-${index}`,
  allow: { tools: [`tool_${index}_*`] },
  require: { scopes: ['dashboards:read'], when: `has(args.limit) && args.limit <= ${index}` },
}));
const record = {
  ...{ id: '00000000-0000-4000-8000-000000000001', stage: 'decided', time: '2026-11-29T12:00:00.000Z' },
  ...{
    decision: 'allow',
    rule: 'rules[0]',
    route: '/mcp',
    http: { method: 'POST', path: '/mcp' },
    client: { address: '127.0.0.1' },
  },
  mcp: { method: 'tools/call', tool: 'list_dashboards' },
  principal: { clientId: 'ai_agent_prod', subject: 'agent', issuer: 'https://issuer.example.com/' },
  credentials: [{ kind: 'access-token', authenticator: 'tokens' }],
  scopes: { granted: ['dashboards:read'], required: ['dashboards:read'], missing: [] },
};

/** A question about a file with these rules. */
async function questionUnder(t: Test, rules: readonly object[], more: Changes = {}) {
  const urls = { upstreamUrl: 'http://127.0.0.1:9', issuer: 'https://issuer.example.com/' };
  const yaml = yamlOf(configure(urls, { routes: { '/mcp': { mcp: { rules } } } }, more));
  const file = `${t.testdir({ 'gateway.yaml': yaml })}/gateway.yaml`;
  return { yaml, question: { file, record: record as never, line: JSON.stringify(record), now: Date.now() } };
}

/** Turns of the event loop while the work goes on. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  const counting = setInterval(() => {
    turns += 1;
  });
  await work();
  clearInterval(counting);
  return turns;
}

t.test('the event loop turns while a policy of 1,000 rules is opened', async (t) => {
  const { question } = await questionUnder(t, rules);
  const tryFile = createFileTrial({ waitMs: 500_000 });
  const held = await turnsDuring(() => openPolicyFile(question.file, { env: {} }));
  const turned = await turnsDuring(async () =>
    t.match(await tryFile(question), { now: { kind: 'deny' }, isSamePolicy: false }),
  );
  t.ok(turned > 4 * held, `${turned} turns, and ${held} while this thread opens it`);
});

t.test('a policy is opened once for a state of its file', async (t) => {
  const { question, yaml } = await questionUnder(t, [listDashboards]);
  const tryFile = createFileTrial({ waitMs: 500_000 });
  const write = async (text: string, seconds: number) => {
    await writeFile(question.file, text);
    await utimes(question.file, seconds, seconds);
  };
  const denied = yaml.replaceAll('list_', 'make_');
  await write(yaml, 1_000_000);
  t.match(await tryFile(question), { now: { kind: 'allow' } });
  await write(denied, 1_000_000);
  t.match(await tryFile(question), { now: { kind: 'allow' } }, 'size and time are as before');
  await write(denied, 1_000_001);
  t.match(await tryFile(question), { now: { kind: 'deny' } });
});

t.test('a caller who is revoked between two views is refused in the second', async (t) => {
  const { question } = await questionUnder(t, [listDashboards], { revocation: { file: 'revoked.yaml' } });
  const list = join(dirname(question.file), 'revoked.yaml');
  const tryFile = createFileTrial({ waitMs: 500_000 });
  await writeFile(list, '{}');
  t.match(await tryFile(question), { now: { kind: 'allow' } });
  await writeFile(list, 'clientIds: [ai_agent_prod]');
  t.match(await tryFile(question), { now: { kind: 'deny', reason: 'invalid_token' } });
});

t.test('beyond four viewers others are told to come again, and so is who waits long', async (t) => {
  const { question } = await questionUnder(t, [listDashboards]);
  const tryFile = createFileTrial({ waitMs: 500_000 });
  const all = await Promise.all(Array.from({ length: 6 }, () => tryFile(question)));
  t.strictSame(
    all.map((each) => ('problems' in each ? each.name : each.now?.kind)),
    ['allow', 'allow', 'allow', 'allow', 'busy', 'busy'],
  );
  t.match(await tryFile(question), { now: { kind: 'allow' } }, 'later there is room');
  t.match(await createFileTrial({ waitMs: 0 })(question), { name: 'opening' });
});

t.test('too long, too much memory: an outcome with a name, and the next view begins anew', async (t) => {
  const { question } = await questionUnder(t, [listDashboards]);
  const slow = createFileTrial({ waitMs: 500_000, timeoutMs: 0 });
  const small = createFileTrial({ waitMs: 500_000, heapMegabytes: 4 });
  for (let view = 0; view < 2; view++) {
    t.match(await slow(question), { name: 'timeout', problems: [/longer than 0 s.*portcullis replay/] });
    t.match(await small(question), { name: 'out_of_memory', problems: [/more than 4 MiB.*portcullis replay/] });
  }
});

t.test('a file with mistakes: its problems with their places', async (t) => {
  const { question, yaml } = await questionUnder(t, [listDashboards]);
  await writeFile(question.file, `${yaml}\nauditt: 1\n`);
  const found = await createFileTrial({ waitMs: 500_000 })(question);
  t.match(found, { name: 'policy_refused', problems: [/gateway\.yaml:\d+:1 auditt: /] });
});

t.test('no thread can be started: the question fails in its own words, and the next one is answered', async (t) => {
  const { question } = await questionUnder(t, [listDashboards]);
  let starts = 0;
  const tryFile = createFileTrial({ waitMs: 500_000 }, (script, options) => {
    starts += 1;
    if (starts > 1) return new Worker(script, options);
    throw Object.assign(new Error('Worker initialization failure: EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' });
  });
  const first = await tryFile(question);
  t.strictSame(first, { name: 'failed', problems: ['Worker initialization failure: EAGAIN'] });
  t.match(await tryFile(question), { now: { kind: 'allow' } });
  t.equal(starts, 2);
});
