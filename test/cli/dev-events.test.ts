// Events of `portcullis dev`: the text of the README, JSON lines, and what callers choose on a terminal.
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { AuditRecord } from '../../src/audit/reading/record.ts';
import { type DevelopmentEvent, jsonOf, placesOf, textOf } from '../../src/cli/dev/event.ts';
import { eventOf } from '../../src/cli/dev/record.ts';
import type { DevelopmentEnvironment } from '../../src/dev/environment.ts';

const directory = '/tmp/portcullis-dev-4xGq7T';
const places = placesOf({
  isDemo: true,
  mcpUrl: 'https://localhost:8443/mcp',
  upstreamUrl: 'http://127.0.0.1:5008/mcp',
  issuer: 'http://127.0.0.1:9400',
  adminUrl: 'http://127.0.0.1:9090',
  directory,
  tryFile: `${directory}/try.sh`,
  tourFile: `${directory}/tour.sh`,
  clientsDirectory: `${directory}/clients`,
} as DevelopmentEnvironment);

/** At half past three in the time zone of the machine. */
const time = new Date(2026, 10, 28, 15, 30, 12).toISOString();
const common = { seq: 7, id: 'a', time, stage: 'completed', policy: 'c0ffee'.padEnd(64, '0') };
const allowed: AuditRecord = {
  ...common,
  principal: { kind: 'oauth', clientId: 'ai_agent_prod' },
  mcp: { method: 'tools/call', tool: 'execute_sql' },
  ...{ decision: 'allow', rule: 'superset:sql', status: 200, durationMs: 31.4, outcome: 'completed' },
};
const refused: AuditRecord = {
  ...common,
  principal: { kind: 'oauth', clientId: 'analytics_frontend' },
  mcp: { method: 'tools/call', tool: 'execute_sql' },
  ...{ decision: 'deny', rule: 'superset:sql', reason: 'insufficient_scope', status: 403, durationMs: 2.13 },
};

t.test('the README shows what npm start prints', async (t) => {
  const parts = {
    program: 700,
    'demo Superset': 80,
    'authorization server': 180,
    'certificates and files': 250,
    gateway: 220,
  };
  const events: (DevelopmentEvent | undefined)[] = [
    { event: 'starting' },
    ...Object.entries(parts).map(([name, ms]) => ({ event: 'part' as const, name, ms })),
    { event: 'ready', ms: 1450, ...places },
    {
      event: 'self-test',
      passed: true,
      checks: [
        { says: 'the agent runs SQL: 200' },
        { says: 'the frontend may not: 403 insufficient_scope' },
        { says: 'the audit records of both verify' },
      ],
    },
    { event: 'try', ...places },
    eventOf(allowed),
    eventOf(refused),
  ];
  const shown = events.map((event) => textOf(event!, false, false)).join('');
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  t.ok(readme.includes(`\`\`\`text\n${shown.trimEnd()}\n\`\`\`\n`), shown);
});

t.test('text that a caller chose is escaped, and colour is for terminals', async (t) => {
  const hostile = { ...allowed, principal: { kind: 'oauth', clientId: 'a\x1b[2Jb' }, mcp: { tool: 'x\u202e\r\ny' } };
  const line = textOf(eventOf(hostile)!, false, false);
  for (const character of ['\x1b', '\r', '\u202e']) t.notMatch(line, character);
  t.match(line, 'a\\u001b[2Jb');
  t.equal(line.split('\n').length, 2);
  t.notMatch(textOf(eventOf(allowed)!, false, false), '\x1b');
  t.match(textOf(eventOf(refused)!, true, false), '\x1b[31mdeny \x1b[39m');
});

t.test('--quiet leaves progress and requests out, never what is wrong', async (t) => {
  const quiet = (event: DevelopmentEvent) => textOf(event, false, true);
  t.equal(
    quiet({ event: 'starting' }) + quiet({ event: 'part', name: 'gateway', ms: 1 }) + quiet(eventOf(allowed)!),
    '',
  );
  t.match(quiet({ event: 'ready', ms: 1, ...places }), 'https://localhost:8443/mcp');
  const detail = { event: 'reload refused', problem: 'gateway.yaml:12:7 routes[0]: wrong\ngateway.yaml:14:1 worse' };
  const event = eventOf({ ...common, stage: 'config', detail })!;
  t.match(
    quiet(event),
    '15:30:12  not reloaded  the old configuration stays in force: gateway.yaml:12:7 routes[0]: wrong\ngateway.yaml:14:1 worse\n',
  );
  t.equal(jsonOf(eventOf(allowed)!, true), '');
  t.match(JSON.parse(jsonOf(event, true)), { event: 'reload refused', problem: detail.problem });
});

t.test('--json: the first line has the addresses, and a request what its record has', async (t) => {
  t.equal(jsonOf({ event: 'starting' }, false) + jsonOf({ event: 'part', name: 'gateway', ms: 1 }, false), '');
  t.match(JSON.parse(jsonOf({ event: 'ready', ms: 1, ...places }, false)), {
    event: 'ready',
    console: 'http://127.0.0.1:9090/',
  });
  t.same(JSON.parse(jsonOf(eventOf(refused)!, false)), {
    ...{ event: 'request', time, id: 'a', who: 'analytics_frontend', call: 'execute_sql', decision: 'deny' },
    ...{ rule: 'superset:sql', reason: 'insufficient_scope', status: 403, ms: 2.13, requests: 1 },
  });
  t.equal(eventOf({ ...common, stage: 'decided' }), undefined);
  t.equal(eventOf({ ...common, stage: 'config', detail: { event: 'started' } }), undefined);
});
