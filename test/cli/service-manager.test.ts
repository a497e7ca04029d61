// Service manager of the process: a machine without `systemd-notify` serves as any other, and the log says what is missing.
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createServiceManager } from '../../src/cli/service-manager.ts';
import { createLog } from '../../src/log.ts';

t.test(
  'NOTIFY_SOCKET without systemd-notify in PATH: a warning for each message, start, reload and stop go on',
  async (t) => {
    const directory = t.testdir({ empty: {} });
    const logFile = join(directory, 'log');
    const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: join(directory, 'notify'), PATH: join(directory, 'empty') };
    const manager = createServiceManager(env, createLog({ fd: openSync(logFile, 'w') }));
    t.equal(env.NOTIFY_SOCKET, undefined, 'no child speaks for the service');
    await manager.started(async () => undefined, new AbortController().signal);
    let reloads = 0;
    await manager.reloading(async () => {
      reloads += 1;
    });
    t.equal(reloads, 1);
    const warnings = readFileSync(logFile, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.same(
      warnings.map(({ level, msg }) => [level, msg]),
      ['READY=1', 'RELOADING=1', 'READY=1'].map((message) => [
        'warn',
        `the service manager was not told ${message}: is systemd-notify in PATH?`,
      ]),
    );
    t.equal(warnings[0].err.code, 'ENOENT');
  },
);
