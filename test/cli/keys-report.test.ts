// `portcullis keys report`: who still uses keys by the audit log, and which clients are ready to switch.
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { createEventEncoder } from '../../src/audit/encode.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';
import { keysReportCommand } from '../../src/cli/keys/keys-report.ts';
import { dayMs, eventOf, someTime } from '../audit/support.ts';
import { keyEntry } from '../support/configuration.ts';
import { capture } from './capture.ts';

const entry = (id: string, clientId: string, expires = '2027-01-01') =>
  keyEntry(id, `sk_${id.padEnd(43, '0')}`, { clientId, expires });
const configuration = {
  version: 1,
  server: { listen: '127.0.0.1:8443', publicUrl: 'http://127.0.0.1:8443' },
  authenticators: {
    corp: { type: 'jwt', issuer: 'https://idp.example.com/' },
    keys: {
      type: 'apiKey',
      prefix: 'sk_',
      sunset: '2026-12-01',
      keys: [
        entry('reporting-1', 'reporting_tool'),
        entry('batch-1', 'batch'),
        entry('idle-1', 'idle'),
        entry('moved-1', 'moved'),
        entry('old-1', 'old', '2026-01-01'),
      ],
    },
  },
  upstreams: { superset: { url: 'http://127.0.0.1:5008' } },
  routes: [
    {
      name: 'mcp',
      path: '/mcp',
      upstream: 'superset',
      authenticate: { anyOf: ['corp', 'keys'] },
      mcp: { preset: 'superset' },
    },
  ],
  audit: { sinks: [{ type: 'stdout' }] },
};

function used(key: string, clientId: string, more: Partial<AuditEvent> = {}): AuditEvent {
  return eventOf(key, {
    route: 'mcp',
    client: { address: '10.0.0.1' },
    principal: { kind: 'api-key', issuer: 'keys', subject: clientId, clientId, credentialId: key },
    http: { method: 'POST', path: '/mcp' },
    mcp: { method: 'tools/call', tool: 'list_charts' },
    decision: 'allow',
    rule: 'read',
    outcome: 'completed',
    ...more,
  });
}

const withToken = (clientId: string, more: Partial<AuditEvent> = {}): AuditEvent =>
  used('jti', clientId, {
    principal: { kind: 'oauth', issuer: 'https://idp.example.com/', subject: clientId, clientId, credentialId: 'jti' },
    ...more,
  });

const folder = t.testdir({
  'gateway.yaml': stringify(configuration),
  'audit.jsonl': chainLines(
    genesis,
    [
      used('reporting-1', 'reporting_tool', { stage: 'decided', outcome: undefined }),
      used('reporting-1', 'reporting_tool'),
      ...['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.2'].map((address, index) =>
        used(`reporting-1`, 'reporting_tool', {
          id: `more-${index}`,
          client: { address },
          mcp: { method: 'tools/list' },
          time: someTime + 60_000,
        }),
      ),
      used('batch-1', 'batch', { decision: 'deny', reason: 'insufficient_scope', outcome: 'refused' }),
      used('old-1', 'old', { decision: 'deny', reason: 'invalid_api_key', outcome: 'refused', rule: undefined }),
      used('taken-out', 'somebody'),
      withToken('reporting_tool', { time: someTime + 120_000 }),
      withToken('moved'),
      withToken('batch', { decision: 'deny', reason: 'denied', outcome: 'refused' }),
    ].map(createEventEncoder('gw')),
  ).lines,
});

async function report(...args: string[]) {
  const output = capture();
  const command = { output, env: {}, stdin: (async function* () {})(), now: () => someTime + dayMs };
  await keysReportCommand(command)
    .exitOverride()
    .parseAsync(['-c', join(folder, 'gateway.yaml'), join(folder, 'audit.jsonl'), ...args], { from: 'user' });
  return output;
}

t.test(
  'each key has its use, its end and what to do; a key of the log that the file does not have is there too',
  async (t) => {
    const rows = JSON.parse((await report('--json')).text()) as { key: string }[];
    t.match(Object.fromEntries(rows.map((row) => [row.key, row])), {
      'reporting-1': {
        client: 'reporting_tool',
        requests: 5,
        refused: 0,
        lastUsed: '2026-11-23T05:46:00Z',
        calls: ['tools/list', 'list_charts'],
        addresses: ['10.0.0.2', '10.0.0.1', '10.0.0.3', '10.0.0.4'],
        until: '2026-12-01T00:00:00Z',
        daysLeft: 6,
        lastToken: '2026-11-23T05:47:00Z',
        advice: 'ready to switch',
      },
      'batch-1': { requests: 1, advice: 'needs a token' },
      'idle-1': { requests: 0, advice: 'not used' },
      'moved-1': { requests: 0, advice: 'switched' },
      'old-1': { requests: 0, refused: 1, state: 'expired', advice: 'refused' },
      'taken-out': { requests: 1, state: 'gone', advice: 'gone' },
    });
    t.equal(rows.length, 6);
  },
);

t.test('the table shows few calls and addresses, and the period that was read', async (t) => {
  const { text, errors } = await report();
  t.match(
    text(),
    /reporting-1 +reporting_tool +5 +0 +2026-11-23T05:46:00Z +tools\/list, list_charts +10\.0\.0\.2, 10\.0\.0\.1, 10\.0\.0\.3, and 1 more/,
  );
  t.equal(errors(), 'requests from 2026-11-23T05:45:00Z to 2026-11-23T05:47:00Z\n');
});

t.test('{"a":1} is no audit log: no key is called unused by it, and 1', async (t) => {
  const other = join(t.testdir({ 'other.jsonl': '{"a":1}\n' }), 'other.jsonl');
  const output = capture();
  await keysReportCommand({ output, env: {}, stdin: (async function* () {})(), now: () => someTime }).parseAsync(
    ['-c', join(folder, 'gateway.yaml'), other],
    { from: 'user' },
  );
  t.strictSame([output.text(), output.exitCode], ['', 1]);
  t.match(output.errors(), /^portcullis: no audit record was read$/m);
});

t.test('--since leaves out what was before; a file that cannot be read is misuse: 2', async (t) => {
  const rows = JSON.parse((await report('--json', '--since', '1h')).text()) as { requests: number }[];
  t.ok(rows.every(({ requests }) => requests === 0));
  t.equal((await report('--since', '1h')).errors(), 'no requests\n');
  const missing = await report(join(folder, 'none.jsonl'));
  t.equal(missing.exitCode, 2);
  t.match(missing.errors(), /there is no such file/);
});
