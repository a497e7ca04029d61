// Command `portcullis catalog`: the definitions that an upstream shows, recorded in a file or compared with one.
import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { Command, InvalidArgumentError } from 'commander';
import { parse } from 'yaml';
import * as z from 'zod';
import { authenticatorNamesOf } from '../authn/alternatives.ts';
import { ConfigError } from '../config/problem.ts';
import { suggestion } from '../config/schema/suggestion.ts';
import { scopes, text } from '../config/schema/values.ts';
import { fileProblem } from '../errors.ts';
import { connectMcp } from '../gateway/catalog/mcp-connection.ts';
import { type CatalogRead, readCatalog } from '../gateway/catalog/read-catalog.ts';
import { callerOf, gatewayItself } from '../gateway/catalog/self.ts';
import type { Route } from '../gateway/route.ts';
import { type Catalog, catalogLists, formatCatalog, parseCatalog } from '../mcp/catalog/catalog.ts';
import { type CatalogDifference, compareCatalogs } from '../mcp/catalog/comparison.ts';
import { visible } from '../mcp/catalog/difference.ts';
import { knownNamesOf } from '../policy/lint/known-names.ts';
import { printable, printableLines } from '../printable.ts';
import { replaceFile } from '../replace-file.ts';
import { openPolicyFile, type PolicyFile } from '../review/policy-file.ts';
import { readForm } from '../review/request-form.ts';
import { AskError, type AskFailure } from '../upstream/ask.ts';
import { type CommandOutput, misuse, say } from './output.ts';
import { formatJson } from './table.ts';
import { packageVersion } from './version.ts';

interface CatalogOptions {
  readonly config: string;
  readonly route: string;
  readonly as?: Identity;
  readonly tokenFile?: string;
  readonly out?: string;
  readonly check?: true;
  readonly json?: true;
}

const identityForm = z.strictObject({
  subject: text,
  client: text.optional(),
  scopes: scopes.optional(),
  claims: z.record(z.string(), z.unknown()).optional(),
  authenticator: text.optional(),
});

type Identity = z.output<typeof identityForm>;

const requestTimeoutMs = 30_000;
const wholeTimeoutMs = 180_000;

/** Exit code 0: recorded, or with `--check` unchanged; 1: changed, or the upstream gave no usable answer; 2: misuse. */
export function catalogCommand(output: CommandOutput = process, env: NodeJS.ProcessEnv = process.env): Command {
  return new Command('catalog')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .requiredOption('--route <name>', 'the MCP route whose upstream is asked')
    .option(
      '--as <identity>',
      "whom the assertion and the identity headers name: a subject, or '{subject, client, scopes, claims, authenticator}'",
      parseIdentity,
    )
    .option('--token-file <file>', 'an access token that is exchanged for one of the upstream; - is stdin')
    .option(
      '--out <file>',
      'the file to write; default stdout. With --check the file to compare with; default mcp.catalog.file',
    )
    .option('--check', 'say what has changed since it was recorded, and write nothing')
    .option('--json', 'print the differences, or with --out what was recorded, as JSON')
    .action(async (options: CatalogOptions) => {
      const file = await openPolicyFile(options.config, { env, needsSecrets: true }).catch((error: unknown) => {
        if (error instanceof ConfigError && error.problems.some(({ path }) => path.endsWith('.catalog.file')))
          say(
            output,
            'portcullis: record a catalogue before the configuration names it: take mcp.catalog out until then',
          );
        throw error;
      });
      try {
        await run(options, file, output);
      } catch (error) {
        if (!(error instanceof AskError)) throw error;
        say(output, `portcullis: route ${options.route}: ${adviceOn[error.reason]} (${visible(error.message)})`);
        output.exitCode = 1;
      } finally {
        await file.close();
      }
    });
}

const adviceOn: Readonly<Record<AskFailure, string>> = {
  unreachable: 'nobody answers at the upstream; look at its url and whether it runs',
  timeout: 'the upstream is too slow',
  too_large: 'the answer is larger than limits.responseBytes of the upstream',
  refused: 'the upstream refuses the question; give an identity that it knows with --as, or a token with --token-file',
  unreadable: 'the upstream did not answer as an MCP server does; look at upstreamPath and the path of the route',
  endless: 'the lists of the upstream have no end',
  aborted: 'the upstream took longer than three minutes in all',
};

async function run(options: CatalogOptions, policyFile: PolicyFile, output: CommandOutput): Promise<void> {
  const route = routeOf(options.route, policyFile);
  if (typeof route === 'string') return misuse(output, route);
  const path = options.out ?? (options.check === true ? route.mcp?.catalog?.file : undefined);
  if (options.check === true && path === undefined)
    return misuse(
      output,
      'nothing to compare with: name the recorded file with --out, or as mcp.catalog.file of the route',
    );
  const recorded = options.check === true ? await readRecorded(path!) : undefined;
  if (typeof recorded === 'string') return misuse(output, recorded);
  const { catalog, notes } = await ask(route, options, policyFile);
  for (const note of notes) say(output, `portcullis: ${visible(note)}`);
  if (recorded !== undefined) {
    const differences = compareCatalogs(recorded, catalog);
    output.stdout.write(
      options.json === true ? formatJson({ ok: differences.length === 0, differences }) : describe(differences),
    );
    output.exitCode = differences.length === 0 ? 0 : 1;
  } else if (path === undefined) output.stdout.write(printableLines(formatCatalog(catalog)));
  else {
    await replaceFile(path, formatCatalog(catalog));
    output.stdout.write(
      options.json === true ? formatJson({ ok: true, file: path, ...countsOf(catalog) }) : summaryOf(path, catalog),
    );
  }
}

function routeOf(name: string, { snapshot }: PolicyFile): Route | string {
  const routes = snapshot.routes.filter(({ mcp, upstream }) => mcp !== undefined && upstream !== undefined);
  const found = routes.find((route) => route.name === name);
  if (found !== undefined) return found;
  const names = routes.map((route) => route.name);
  return `no MCP route is named ${JSON.stringify(name)}${suggestion(name, names)}; there are ${names.join(', ') || 'none'}`;
}

async function readRecorded(path: string): Promise<Catalog | string> {
  try {
    return parseCatalog(await readFile(path));
  } catch (error) {
    return `${path}: ${fileProblem(error)}`;
  }
}

async function ask(route: Route, options: CatalogOptions, { loaded }: PolicyFile): Promise<CatalogRead> {
  const { as, tokenFile } = options;
  const config = loaded.config.routes.find(({ name }) => name === route.name)!;
  const [authenticator] = authenticatorNamesOf(config.authenticate);
  const self = callerOf(as === undefined ? gatewayItself : { authenticator, ...as, clientId: as.client });
  const token = tokenFile === undefined ? undefined : await readToken(tokenFile);
  const authorization = await route.upstream!.authorize?.(self, Date.now(), token && `Bearer ${token}`);
  const signal = AbortSignal.timeout(wholeTimeoutMs);
  const connection = await connectMcp({
    ...{ route, authorization, signal, timeoutMs: requestTimeoutMs, version: packageVersion() },
    caller: as === undefined ? undefined : self,
  });
  try {
    const names = knownNamesOf(config, loaded.files)?.tools ?? [];
    return await readCatalog(connection, { searches: route.policy.metaTools.searches, names });
  } finally {
    await connection.close();
  }
}

function parseIdentity(written: string): Identity {
  try {
    const parsed: unknown = parse(written);
    return readForm(identityForm, typeof parsed === 'object' ? parsed : { subject: written });
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

async function readToken(file: string): Promise<string> {
  const content = file === '-' ? textOf(process.stdin) : readFile(file, 'utf8');
  return (await content.catch((error: unknown) => Promise.reject(new Error(`${file}: ${fileProblem(error)}`)))).trim();
}

function countsOf(catalog: Catalog) {
  const { protocolVersion, server } = catalog;
  const counts = catalogLists.map(({ member }) => [member, catalog[member].size] as const);
  return { server, protocolVersion, ...Object.fromEntries(counts) };
}

function summaryOf(path: string, catalog: Catalog): string {
  const { protocolVersion, server } = catalog;
  const counts = catalogLists.map(({ member }) => `${catalog[member].size} ${member}`).join(', ');
  return `${printable(path)}: ${counts} of ${visible(`${server.name} ${server.version}`)}, MCP ${visible(protocolVersion)}\n`;
}

const wordsOf = { listed: 'in the list', found: 'in searches' } as const;

function describe(differences: readonly CatalogDifference[]): string {
  if (differences.length === 0) return 'nothing has changed\n';
  const lines = differences.flatMap(({ list, name, change, form, differences: all }) => [
    `${list} ${visible(name)}: ${change}${form === undefined ? '' : ` ${wordsOf[form]}`}`,
    ...all.map(({ pointer, text: difference }) => `  ${visible(pointer)} ${difference}`),
  ]);
  return `${lines.join('\n')}\n`;
}
