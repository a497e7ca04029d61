// `portcullis serve`: runs the gateway until it is told to stop; reloads when told to, or when a named file has changed.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { formatProblem, loadConfig } from '../config/load.ts';
import { watchFiles } from '../config/watch.ts';
import { type Gateway, startGateway } from '../gateway/gateway.ts';
import type { ReloadOptions } from '../gateway/reload.ts';
import { createLog, type Log } from '../log.ts';

const quietMs = 1000;

export interface RunningGateway {
  readonly gateway: Gateway;
  /** Reloads the file now, as SIGHUP does. */
  reload(): Promise<void>;
  /** Lets what is in flight end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Loads, starts and watches. Throws one clear error when any of it cannot be. */
export async function runGateway(options: {
  configFile: string;
  log: Log;
  env?: NodeJS.ProcessEnv;
}): Promise<RunningGateway> {
  const { configFile, log, env = process.env } = options;
  let loaded = await loadConfig(configFile, { env });
  for (const warning of loaded.warnings) log.warn(formatProblem(warning));
  const gateway = await startGateway({ loaded, log, version: packageVersion() });
  const load = async (options: ReloadOptions) => {
    const next = await loadConfig(configFile, { env, ...options });
    loaded = next;
    return next;
  };
  const watch = watchFiles(
    () => [configFile, ...loaded.files.keys()],
    () => void gateway.reload(load),
    { quietMs },
  );
  return {
    gateway,
    reload: () => gateway.reload(load),
    async drain() {
      watch.close();
      await gateway.drain();
    },
    async close() {
      watch.close();
      await gateway.close();
    },
  };
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('run the gateway')
    .requiredOption('-c, --config <file>', 'configuration file')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .action(async (options: { config: string; logLevel: string }) => {
      const log = createLog({ level: options.logLevel });
      surviveTheUnexpected(log);
      const running = await runGateway({ configFile: options.config, log });
      const { publicAddress, adminAddress } = running.gateway;
      log.info(
        { address: publicAddress.address, port: publicAddress.port, adminPort: adminAddress.port },
        'portcullis is listening',
      );
      process.on('SIGHUP', () => void running.reload());
      stopOnSignal(running, log);
    });
}

/** The version of the package that this file belongs to. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** SIGTERM drains; SIGINT, or a second signal, stops at once. */
function stopOnSignal(running: RunningGateway, log: Log): void {
  let stopping = false;
  const stop = (how: 'drain' | 'close') => {
    if (stopping && how === 'drain') return;
    const first = !stopping;
    stopping = true;
    log.info(how === 'drain' ? 'draining' : 'stopping');
    (how === 'drain' ? running.drain() : running.close()).then(
      () => process.exit(0),
      (cause: unknown) => {
        log.error({ err: cause }, 'the gateway did not stop cleanly');
        process.exit(first ? 1 : 0);
      },
    );
  };
  process.on('SIGTERM', () => stop('drain'));
  process.on('SIGINT', () => stop('close'));
}

/** An error that nobody foresaw costs its own request at most, never the process. */
function surviveTheUnexpected(log: Log): void {
  process.on('uncaughtException', (cause) => log.error({ err: cause }, 'an unexpected error was caught at the top'));
  process.on('unhandledRejection', (cause) =>
    log.error({ err: cause }, 'an unexpected rejection was caught at the top'),
  );
}
