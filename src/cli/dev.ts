// Command `portcullis dev`: the development environment on loopback, its self-test, and a line for each request.
import { Command, InvalidArgumentError } from 'commander';
import type { DevelopmentEnvironment } from '../dev/environment.ts';
import type { LogFormat } from '../log.ts';
import { type DevelopmentEvent, jsonOf, placesOf, textOf } from './dev/event.ts';
import { isColoured, logFormatOption, logLevelOption } from './output.ts';

interface DevOptions {
  readonly upstream?: string;
  readonly directory?: string;
  readonly port?: number;
  readonly adminPort?: number;
  readonly issuerPort?: number;
  readonly upstreamPort?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
}

/** Exit code 0 after Ctrl-C, or when nobody reads the output any more; 1 with one line on stderr when a part cannot be started. */
export function devCommand(): Command {
  return new Command('dev')
    .option('--upstream <url>', 'stand in front of this MCP endpoint instead of the demo Superset')
    .option(
      '--directory <path>',
      'keep the files there; each start writes them anew, and keeps an edited gateway.yaml as gateway.yaml.1 (default: a temporary directory, removed at the end)',
    )
    .option('--port <number>', 'port of the gateway (usually 8443; 0: any)', parsePort)
    .option('--admin-port <number>', 'port of the console, metrics and health (usually 9090)', parsePort)
    .option('--issuer-port <number>', 'port of the authorization server (usually 9400)', parsePort)
    .option('--upstream-port <number>', 'port of the demo Superset (usually 5008)', parsePort)
    .option(
      '-q, --quiet',
      'print no progress and no line for each request: the addresses, the self-test, and then only what is wrong',
    )
    .option('--json', 'print events as JSON, one a line, the first with the addresses')
    .addOption(logLevelOption('warn'))
    .addOption(logFormatOption('pretty'))
    .action(runDevelopment);
}

async function runDevelopment(options: DevOptions): Promise<void> {
  const begin = performance.now();
  const tell = teller(options);
  const stopped = stopSignal(() => tell({ event: 'stopping' }));
  tell({ event: 'starting' });
  const environment = await start(options, tell, stopped).catch((error) => {
    if (!stopped.aborted) throw error;
  });
  if (environment === undefined) {
    tell({ event: 'stopped' });
    process.exit(0);
  }
  const places = placesOf(environment);
  if (!stopped.aborted) {
    tell({ event: 'ready', ms: Math.round(performance.now() - begin), ...places });
    await test(environment, tell);
    tell({ event: 'try', ...places });
    const { tellRequests } = await import('./dev/audit-file.ts');
    await tellRequests(environment.auditFile, tell, stopped);
  }
  await environment.close();
  tell({ event: 'stopped', ...(options.directory === undefined && { removed: environment.directory }) });
  process.exit(0);
}

function teller({ json, quiet = false }: DevOptions): (event: DevelopmentEvent) => void {
  const hasColour = isColoured(process.stdout, process.env);
  return (event) => {
    const text = json === true ? jsonOf(event, quiet) : textOf(event, hasColour, quiet);
    if (text !== '') process.stdout.write(text);
  };
}

async function start(
  options: DevOptions,
  tell: (event: DevelopmentEvent) => void,
  stopped: AbortSignal,
): Promise<DevelopmentEnvironment> {
  const before = performance.now();
  // Loaded on use: production leaves their packages out, and the first line does not wait for them.
  const { runGateway } = await import('./serve.ts');
  const { createLog } = await import('../log.ts');
  const { startDevelopmentEnvironment } = await import('../dev/environment.ts');
  tell({ event: 'part', name: 'program', ms: performance.now() - before });
  // The audit log tells of reloads.
  const log = createLog({
    level: options.logLevel,
    format: options.logFormat,
    colour: isColoured(process.stderr, process.env),
    hides: (message) => message.startsWith('configuration not reloaded'),
  });
  return startDevelopmentEnvironment({
    upstream: options.upstream,
    directory: options.directory,
    ports: {
      gateway: options.port,
      admin: options.adminPort,
      issuer: options.issuerPort,
      upstream: options.upstreamPort,
    },
    startGateway: (configFile) => runGateway({ configFile, log }),
    program: [process.execPath, ...process.argv.slice(1, 2)],
    stopped,
    onPart: (part) => tell({ event: 'part', ...part }),
  });
}

async function test(environment: DevelopmentEnvironment, tell: (event: DevelopmentEvent) => void): Promise<void> {
  const { selfTest } = await import('../dev/self-test.ts');
  const { auditProblem } = await import('./dev/audit-file.ts');
  for (const message of environment.notes) tell({ event: 'warning', message });
  if (!environment.isDemo) {
    const { upstreamWarnings } = await import('./dev/upstream-warnings.ts');
    for (const message of await upstreamWarnings(environment.configFile)) tell({ event: 'warning', message });
  }
  const verifyAudit = (ids: readonly string[]) => auditProblem(environment.auditFile, ids);
  const checks = await selfTest({ environment, verifyAudit });
  tell({ event: 'self-test', passed: checks.every(({ problem }) => problem === undefined), checks });
}

/** Aborted at the first signal, also during the start, and when nobody reads the output any more. A second signal ends the process at once. */
function stopSignal(stopping: () => void): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort();
    stopping();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  process.stdout.on('error', () => stop.abort());
  return stop.signal;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('Expected a port from 0 to 65535.');
  return port;
}
