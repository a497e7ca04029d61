// The systemd units, held by systemd's own analysis, and what they promise about the configuration beside them.
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
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const [unit, version, yaml] = [read('portcullis.service'), read('portcullis@.service'), read('gateway.yaml')];
  const sockets = ['portcullis.socket', 'portcullis-admin.socket'];
  const copies = mkdtempSync(join(tmpdir(), 'portcullis-deploy-'));
  try {
    // Node is where this machine has it: the check wants the program to exist.
    const copy = (name: string, text: string): string => {
      writeFileSync(join(copies, name), text.replace('/usr/bin/node ', `${process.execPath} `));
      return join(copies, name);
    };
    for (const name of sockets) copy(name, read(name));
    const verify = ['verify', '--man=no', '--recursive-errors=no'];
    for (const [name, text] of [
      ['portcullis.service', unit],
      ['portcullis@.service', version],
    ] as const) {
      assert.ok(text.includes('ExecStart=/usr/bin/node '));
      const file = copy(name, text);
      run('systemd-analyze', ['security', '--offline=true', `--threshold=${exposure}`, '--no-pager', file]);
    }
    run('systemd-analyze', [...verify, join(copies, 'portcullis.service')]);
    run('systemd-analyze', [
      ...verify,
      ...sockets.map((name) => join(copies, name)),
      join(copies, 'portcullis@1.0.service'),
    ]);
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
  await checkConfiguration(yaml.replaceAll('${env:CREDENTIALS_DIRECTORY}', '/run/credentials/portcullis'));
  const { server, admin } = parse(yaml) as {
    server: { listen: string; drainTimeout?: string };
    admin?: { listen?: string };
  };
  for (const each of [unit, version]) {
    const stop = duration.parse(/^TimeoutStopSec=(.*)$/m.exec(each)![1]);
    assert.ok(stop > duration.parse(server.drainTimeout ?? '30s'), 'it is given the time to drain');
    assert.match(each, /^KillMode=mixed$/m, 'SIGTERM goes to the supervisor alone');
    for (const [, name] of yaml.matchAll(/CREDENTIALS_DIRECTORY\}\/([\w.-]+)/g))
      assert.match(each, new RegExp(`^LoadCredential=${name}:`, 'm'));
  }
  const restrictions = (text: string) => text.slice(text.indexOf('NoNewPrivileges=')).replace(/^#.*\n/gm, '');
  assert.equal(restrictions(version), restrictions(unit), 'both services may do the same');
  const addressOf = (name: string) => /^ListenStream=(.*)$/m.exec(read(name))![1];
  assert.deepEqual(sockets.map(addressOf), [server.listen, admin?.listen ?? '127.0.0.1:9090']);
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

/** Start by systemd's own socket activation, a call over TLS, a refusal, records on the disk, a scrape, the end: under strace. */
async function systemCallsOfTheGateway(): Promise<Set<string>> {
  const strace = join(debianFolder(['strace']), 'usr/bin/strace');
  const scene = await startScene();
  try {
    const trace = join(scene.directory, 'trace');
    const { adminPort, running, expectAuthentication } = await scene.serve(
      { type: 'file', path: 'audit.jsonl', fsync: 'always' },
      (folder) => [strace, '-f', '-D', '-q', '-o', trace, ...activated(folder), ...gatewayCommand(folder)],
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

/** The command that hands the listeners of a configuration to the command behind it. Nobody hears what is notified. */
function activated(folder: string): readonly string[] {
  const { admin, server } = parse(readFileSync(join(folder, 'gateway.yaml'), 'utf8')) as Record<
    string,
    { listen: string }
  >;
  const options = ['--fdname=public:admin', '-E', 'NOTIFY_SOCKET=@portcullis-deploy'];
  return ['systemd-socket-activate', '-l', server!.listen, '-l', admin!.listen, ...options];
}
