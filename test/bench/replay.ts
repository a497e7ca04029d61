// Speed and memory of `portcullis replay` over a made-up log: `node test/bench/replay.ts [records] [file]`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEventEncoder } from '../../src/audit/encode.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';

const records = Number(process.argv[2] ?? 1_000_000);
const folder = mkdtempSync(join(tmpdir(), 'replay-'));
const log = process.argv[3] ?? join(folder, 'audit.jsonl');

const tools = ['execute_sql', 'list_dashboards', 'get_dashboard_info', 'list_charts', 'get_chart_data', 'update_chart'];
const clients = [
  { clientId: 'ai_agent_prod', granted: ['dashboards:read', 'queries:execute'] },
  { clientId: 'analytics_frontend', granted: ['dashboards:read'] },
  { clientId: 'reporting_tool', granted: ['dashboards:read', 'queries:read', 'exports:create'] },
] as const;

const policy = `
version: 1
server: {listen: 127.0.0.1:8443, publicUrl: http://127.0.0.1:8443}
authenticators: {corp-oauth: {type: jwt, issuer: https://idp.example.com/, claims: {tenant: org_id, groups: roles}}}
upstreams: {superset: {url: http://127.0.0.1:5008}}
routes:
  - name: superset-mcp
    path: /mcp
    upstream: superset
    authenticate: corp-oauth
    mcp:
      preset: superset
      rules:
        - {name: blocked, deny: {tools: [update_chart], claims: {groups: [blocked]}}}
        - name: sql
          allow: {tools: [execute_sql]}
          require: {scopes: [queries:execute], when: "has(args.request) && args.request.limit <= 1000"}
        - {name: reader, allow: {tools: ["list_*", "get_*"]}, require: {scopes: [dashboards:read]}}
audit: {sinks: [{type: stdout}]}
`;

/** Two records for an allowed call, one for a denied one; 500 people, 9,999 tokens, 1,600 addresses. */
function eventsOf(index: number): AuditEvent[] {
  const { clientId, granted } = clients[index % 3]!;
  const time = Date.UTC(2026, 10, 27) + index * 40;
  const isDenied = index % 11 === 0;
  const credentialId = `token-${index % 9999}`;
  const common = {
    id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    route: 'superset-mcp',
    client: { address: `10.0.${index % 8}.${index % 200}`, userAgent: 'node-mcp/1.0' },
    principal: {
      kind: 'oauth',
      issuer: 'https://idp.example.com/',
      subject: `user-${index % 500}`,
      clientId,
      credentialId,
      tenant: 'acme',
    },
    credentials: [{ kind: 'access-token', authenticator: 'corp-oauth', id: credentialId }],
    http: { method: 'POST', path: '/mcp' },
    mcp: {
      method: 'tools/call',
      tool: tools[index % tools.length]!,
      via: 'call_tool',
      arguments: `sha256:${String(index).padStart(64, '0')}`,
    },
    scopes: { granted, required: ['dashboards:read'], missing: [] },
    decision: isDenied ? ('deny' as const) : ('allow' as const),
    rule: 'reader',
    upstream: { name: 'superset' },
    policy: 'f'.repeat(64),
  };
  const outcome = isDenied ? ('refused' as const) : ('completed' as const);
  const end = { stage: 'completed' as const, time: time + 30, status: 200, bytes: 1234, durationMs: 29.75, outcome };
  if (isDenied) return [{ ...common, ...end, reason: 'denied' }];
  return [
    { ...common, time, stage: 'decided' },
    { ...common, ...end },
  ];
}

function writeLog(): void {
  const encode = createEventEncoder('00000000-0000-4000-8000-000000000000');
  const file = openSync(log, 'w');
  let head = genesis;
  for (let index = 0; head.seq < records; ) {
    const events: AuditEvent[] = [];
    while (events.length < 1000 && head.seq + events.length < records) events.push(...eventsOf(index++));
    const chained = chainLines(head, events.map(encode));
    head = chained.head;
    writeSync(file, chained.lines);
  }
  closeSync(file);
}

if (!existsSync(log)) writeLog();
writeFileSync(join(folder, 'new.yaml'), policy);
// The process reports its own use at its end: a parent knows only the sum of all children.
const report = `process.on('exit', () => { const { userCPUTime: user, systemCPUTime: system, maxRSS } = process.resourceUsage();
  process.stderr.write(JSON.stringify({ seconds: (user + system) / 1e6, megabytes: Math.round(maxRSS / 1024) })); });`;
const main = new URL('../../dist/main.js', import.meta.url).pathname;
const started = performance.now();
const child = spawn(
  process.execPath,
  [
    '--import',
    `data:text/javascript,${encodeURIComponent(report)}`,
    main,
    'replay',
    '-c',
    join(folder, 'new.yaml'),
    log,
    '--top',
    '5',
  ],
  { stdio: ['ignore', 'inherit', 'pipe'] },
);
let text = '';
child.stderr.on('data', (chunk) => (text += chunk));
await once(child, 'close');
const use = /\{"seconds.*$/.exec(text)?.[0];
if (use === undefined) throw new Error(text);
const { seconds, megabytes } = JSON.parse(use) as { seconds: number; megabytes: number };
const wall = (performance.now() - started) / 1000;
const size = Math.round(statSync(log).size / 1e6);
process.stdout.write(
  `\n${records} records (${size} MB): ${wall.toFixed(1)} s, ${seconds.toFixed(1)} s of processor time, ` +
    `${Math.round(records / seconds)} records a second of it, ${megabytes} MiB resident at most\n`,
);
rmSync(folder, { recursive: true });
