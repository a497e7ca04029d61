// The systemd unit, held by systemd's own analysis, and what it promises about the configuration beside it.
import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { duration } from '../../src/config/schema/values.ts';
import { createClient } from '../support/client.ts';
import { checkConfiguration } from './configuration.ts';
import { callOf, freePort, gatewayCommand, startScene } from './scene.ts';
import { debianFolder, need, root, run } from './tools.ts';

const folder = join(root, 'deploy/systemd');
/** Tenths; systemd calls 2.0 and less "OK". */
const exposure = 15;

export async function checkSystemd(): Promise<void> {
  need(() => run('systemd-analyze', ['--version']), 'systemd-analyze (Debian: systemd)');
  const unit = readFileSync(join(folder, 'portcullis.service'), 'utf8');
  const yaml = readFileSync(join(folder, 'gateway.yaml'), 'utf8');
  const copies = mkdtempSync(join(tmpdir(), 'portcullis-deploy-'));
  try {
    // Node is where this machine has it: the check wants the program to exist.
    const copy = join(copies, 'portcullis.service');
    assert.ok(unit.includes('ExecStart=/usr/bin/node '));
    writeFileSync(copy, unit.replace('/usr/bin/node ', `${process.execPath} `));
    run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', copy]);
    run('systemd-analyze', ['security', '--offline=true', `--threshold=${exposure}`, '--no-pager', copy]);
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
  await checkConfiguration(yaml);
  const { server } = parse(yaml) as { server: { drainTimeout?: string } };
  const stop = duration.parse(/^TimeoutStopSec=(.*)$/m.exec(unit)![1]);
  assert.ok(stop > duration.parse(server.drainTimeout ?? '30s'), 'it is given the time to drain');
  for (const [, name] of yaml.matchAll(/\/run\/credentials\/portcullis\.service\/([\w.-]+)/g)) {
    assert.match(unit, new RegExp(`^LoadCredential=${name}:`, 'm'));
  }
  const allowed = systemCallsOf(unit);
  const refused = [...(await systemCallsOfTheGateway())].filter((call) => !allowed.has(call));
  assert.deepEqual(refused, [], 'the filter leaves what the gateway needs');
}

/** What SystemCallFilter leaves, by name. */
function systemCallsOf(unit: string): Set<string> {
  const allowed = membersOf('@default');
  for (const [, without, names] of unit.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    for (const call of names!.split(' ').flatMap((name) => [...membersOf(name)])) {
      if (without === '~') allowed.delete(call);
      else allowed.add(call);
    }
  }
  return allowed;
}

/** A group of system calls with the groups in it. */
function membersOf(name: string): Set<string> {
  if (!name.startsWith('@')) return new Set([name]);
  const lines = run('systemd-analyze', ['syscall-filter', '--no-pager', name]).split('\n');
  const members = lines.map((line) => line.trim()).filter((line) => /^@?[a-z0-9_-]+$/.test(line) && line !== name);
  return new Set(members.flatMap((member) => [...membersOf(member)]));
}

/** Start, a call over TLS, a refusal, records on the disk, a scrape, the end: under strace. */
async function systemCallsOfTheGateway(): Promise<Set<string>> {
  const strace = join(debianFolder(['strace']), 'usr/bin/strace');
  const scene = await startScene();
  try {
    const [port, adminPort] = [await freePort(), await freePort()];
    const directory = await scene.configure(
      'traced',
      `
version: 1
server: {listen: "127.0.0.1:${port}", publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key}}
admin: {listen: "127.0.0.1:${adminPort}"}
authenticators: {corp: {type: jwt, issuer: "${scene.issuer.issuer}"}}
upstreams: {superset: {url: "${scene.upstream.url}"}}
routes: [{path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset}}]
audit: {sinks: [{type: file, path: audit.jsonl, fsync: always}]}
`,
    );
    const trace = join(directory, 'trace');
    const words = [strace, '-f', '-D', '-qq', '-o', trace, ...gatewayCommand(directory)];
    const gateway = await scene.start(words, `http://127.0.0.1:${adminPort}/readyz`);
    const client = createClient({ port, ca: scene.certificates.authority.certificatePem });
    const headers = { authorization: `Bearer ${await scene.issuer.token()}` };
    assert.equal((await client.post(callOf('list_dashboards'), { headers })).status, 200);
    assert.equal((await client.post(callOf('list_dashboards'))).status, 401);
    client.close();
    await fetch(`http://127.0.0.1:${adminPort}/metrics`);
    await gateway.stop('SIGINT');
    const text = await untilWritten(trace);
    return new Set([...text.matchAll(/^\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)/gm)].map(([, call]) => call!));
  } finally {
    await scene.close();
  }
}

/** The tracer outlives what it traces for a moment. */
async function untilWritten(trace: string): Promise<string> {
  for (let tries = 0, last = -1; tries < 200; tries++) {
    const text = readFileSync(trace, 'utf8');
    if (text.length > 0 && text.length === last) return text;
    last = text.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('strace does not end');
}
