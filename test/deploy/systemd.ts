// The systemd unit, held by systemd's own analysis, and what it promises about the configuration beside it.
import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { duration } from '../../src/config/schema/values.ts';
import { until } from '../support/until.ts';
import { checkConfiguration } from './configuration.ts';
import { gatewayCommand, startScene } from './scene.ts';
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
    const trace = join(scene.directory, 'trace');
    const { adminPort, running, expectAuthentication } = await scene.serve(
      { type: 'file', path: 'audit.jsonl', fsync: 'always' },
      (folder) => [strace, '-f', '-D', '-q', '-o', trace, ...gatewayCommand(folder)],
    );
    await expectAuthentication();
    await fetch(`http://127.0.0.1:${adminPort}/metrics`);
    await running.stop('SIGINT');
    // The tracer outlives what it traces for a moment.
    const text = () => readFileSync(trace, 'utf8');
    await until(
      () => new RegExp(`^${running.child.pid} +\\+\\+\\+ exited`, 'm').test(text()),
      'strace has written the end',
    );
    return new Set([...text().matchAll(/^\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)/gm)].map(([, call]) => call!));
  } finally {
    await scene.close();
  }
}
