// Command `portcullis dev`: the development environment on loopback, with instructions to try it.
import { Command, InvalidArgumentError } from 'commander';
import type { LogFormat } from '../log.ts';
import { isColoured, logFormatOption, logLevelOption, say } from './output.ts';
import { packageVersion } from './version.ts';

interface DevOptions {
  readonly upstream?: string;
  readonly directory?: string;
  readonly port?: number;
  readonly adminPort?: number;
  readonly issuerPort?: number;
  readonly upstreamPort?: number;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
}

/** Exit code 0 after Ctrl-C; 1 with one line on stderr when a part cannot be started. */
export function devCommand(): Command {
  return new Command('dev')
    .description('run everything on loopback: certificates, authorization server, demo Superset, gateway')
    .option('--upstream <url>', 'stand in front of this MCP endpoint instead of the demo Superset')
    .option('--directory <path>', 'keep the files there (default: a temporary directory, removed at the end)')
    .option('--port <number>', 'port of the gateway (usually 8443; 0: any)', parsePort)
    .option('--admin-port <number>', 'port of metrics and health (usually 9090)', parsePort)
    .option('--issuer-port <number>', 'port of the authorization server (usually 9400)', parsePort)
    .option('--upstream-port <number>', 'port of the demo Superset (usually 5008)', parsePort)
    .addOption(logLevelOption('warn'))
    .addOption(logFormatOption('pretty'))
    .action(runDevelopment);
}

async function runDevelopment(options: DevOptions): Promise<void> {
  process.stdout.write('Starting the development environment.\n');
  // Loaded on use: production leaves their packages out, and the line above does not wait for them.
  const { logOf, runGateway } = await import('./serve.ts');
  const { startDevelopmentEnvironment } = await import('../dev/environment.ts');
  const { instructions } = await import('../dev/instructions.ts');
  const { instructionsText } = await import('../dev/instructions-text.ts');
  const { clientConfigurations } = await import('../dev/client-configurations.ts');
  const log = logOf(options);
  const stopped = stopSignal();
  const environment = await startDevelopmentEnvironment({
    upstream: options.upstream,
    directory: options.directory,
    ports: {
      gateway: options.port,
      admin: options.adminPort,
      issuer: options.issuerPort,
      upstream: options.upstreamPort,
    },
    startGateway: (configFile) => runGateway({ configFile, log }),
  });
  const program = [process.execPath, ...process.argv.slice(1, 2)];
  const colour = isColoured(process.stdout, process.env);
  process.stdout.write(
    instructionsText(instructions({ ...environment, program }), clientConfigurations(environment), colour),
  );
  if (options.upstream !== undefined) {
    for (const warning of await upstreamWarnings(environment.configFile)) say(process, `warning: ${warning}`);
  }
  await stopped;
  await environment.close();
  process.exit(0);
}

/** A sentence for each upstream of a configuration that does not answer as it should. */
export async function upstreamWarnings(configFile: string): Promise<string[]> {
  const { openPolicyFile } = await import('../review/policy-file.ts');
  const { checkUpstream } = await import('../review/online/upstreams.ts');
  const policyFile = await openPolicyFile(configFile, { env: process.env, needsSecrets: true });
  try {
    const options = { now: Date.now(), version: packageVersion() };
    const upstreams = [...policyFile.snapshot.upstreams.values()];
    const results = await Promise.all(upstreams.flatMap(({ target }) => checkUpstream(target, policyFile, options)));
    return results.flatMap(({ level, message }) => (level === 'ok' ? [] : [message]));
  } finally {
    await policyFile.close();
  }
}

/** Resolves at the first SIGINT or SIGTERM, also during the start. A second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        resolve();
        process.once(signal, () => process.exit(1));
      });
    }
  });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('Expected a port from 0 to 65535.');
  return port;
}
