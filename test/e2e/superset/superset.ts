// Superset as it is deployed: its MCP server and its web server, on a copy of the filled database.
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { until, untilAtRest } from '../../support/until.ts';
import type { Daemon, Daemons } from './daemons.ts';
import type { Installation } from './install.ts';

export interface SupersetOptions {
  readonly daemons: Daemons;
  readonly installation: Installation;
  /** An empty or missing folder for this instance. */
  readonly folder: string;
  /** Where the gateway publishes its keys, and what it calls itself. */
  readonly keySet: string;
  readonly issuer: string;
}

export interface Superset {
  readonly databaseFile: string;
  /** How many entries Superset's action log holds, once it has come to rest: an entry may be written after the answer. */
  countActions(): Promise<number>;
  /** Waits for so many entries that match beyond the first `before` ones; yields those, oldest first. */
  actionsSince(before: number, count: number, matches: (action: Action) => boolean): Promise<Action[]>;
  /** `superset mcp run`; `env` is added. Resolves when it answers, or has ended. */
  startMcp(port: number, options?: { readonly env?: NodeJS.ProcessEnv; readonly mayEnd?: boolean }): Promise<Daemon>;
  startWeb(port: number, options?: { readonly env?: NodeJS.ProcessEnv }): Promise<Daemon>;
}

/** One entry of the action log. */
export interface Action {
  /** Undefined where Superset does not know for whom it acted. */
  readonly username: string | undefined;
  readonly action: string;
  readonly tool: string | undefined;
}

const patienceMs = 60_000;

export function prepareSuperset({ daemons, installation, folder, keySet, issuer }: SupersetOptions): Superset {
  mkdirSync(folder, { recursive: true });
  const databaseFile = join(folder, 'superset.db');
  cpSync(join(installation.home, 'superset.db'), databaseFile);
  const env = {
    ...process.env,
    SUPERSET_CONFIG_PATH: join(import.meta.dirname, 'superset_config.py'),
    SUPERSET_HOME: folder,
    SUPERSET_SECRET_KEY: 'only-for-tests-only-for-tests-only-for-tests',
    SUPERSET_DATABASE_URI: `sqlite:///${databaseFile}`,
    SUPERSET_PUBLIC_URL: 'https://superset.example.com',
    PORTCULLIS_KEY_SET: keySet,
    PORTCULLIS_ISSUER: issuer,
    FASTMCP_CHECK_FOR_UPDATES: 'off',
    PYTHONWARNINGS: 'ignore',
  };
  const command = (name: string) => join(installation.bin, name);
  return {
    databaseFile,
    async countActions() {
      const count = () => readActions(databaseFile).length;
      await untilAtRest(count, "Superset's action log");
      return count();
    },
    async actionsSince(before, count, matches) {
      let found: Action[] = [];
      await until(
        () => {
          found = readActions(databaseFile).slice(before).filter(matches);
          return found.length >= count;
        },
        `${count} entries of Superset's action log`,
        patienceMs,
      );
      return found;
    },
    startMcp: (port, options = {}) =>
      daemons.start({
        name: 'superset mcp run',
        command: command('superset'),
        args: ['mcp', 'run', '--host', '127.0.0.1', '--port', String(port)],
        env: { ...env, ...options.env },
        logFile: join(folder, `mcp-${port}.log`),
        mayEnd: options.mayEnd === true,
        ready: async () => (await fetch(`http://127.0.0.1:${port}/mcp`)).status > 0,
      }),
    startWeb: (port, options = {}) =>
      daemons.start({
        name: 'the web server of Superset',
        command: command('gunicorn'),
        args: [
          ...['--bind', `127.0.0.1:${port}`, '--workers', '1', '--worker-class', 'gthread', '--threads', '8'],
          ...['--keep-alive', '5', '--timeout', '120', 'superset.app:create_app()'],
        ],
        env: { ...env, ...options.env },
        logFile: join(folder, `web-${port}.log`),
        ready: async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok,
      }),
  };
}

export function readActions(file: string): Action[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const rows = database
      .prepare('SELECT u.username, l.action, l.json FROM logs l LEFT JOIN ab_user u ON u.id = l.user_id ORDER BY l.id')
      .all() as { username: string | null; action: string; json: string | null }[];
    return rows.map(({ username, action, json }) => ({
      username: username ?? undefined,
      action,
      tool: (JSON.parse(json ?? '{}') as { tool?: string }).tool,
    }));
  } finally {
    database.close();
  }
}
