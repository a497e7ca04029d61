// Command `portcullis explain`: the reading of a decision, for a made-up request or a real credential.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { buffer as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import { parse } from 'yaml';
import type { PeerCertificate } from '../../authn/credential.ts';
import { fileProblem } from '../../errors.ts';
import { parsePem } from '../../pem.ts';
import { type ExplainedRequest, explainRequest } from '../../review/explain/explain-request.ts';
import type { Presented } from '../../review/explain/presented-credentials.ts';
import type { RequestExplanation } from '../../review/explain/request-explanation.ts';
import { openPolicyFile } from '../../review/policy-file.ts';
import { FormError, type FormProblem, readForm, requestForm } from '../../review/request-form.ts';
import { noteTo, say } from '../output.ts';
import { type ExplainContext, jsonOf, paintOf, printRecord } from './explain-record.ts';
import { explanationText } from './explanation-text.ts';

interface Options {
  readonly config: string;
  readonly id?: string;
  readonly as?: string;
  readonly token?: string;
  readonly key?: string;
  readonly cert?: string;
  readonly offline?: true;
  readonly tool?: string;
  readonly args?: string;
  readonly mcp?: string;
  readonly route?: string;
  readonly via?: string;
  readonly from?: string;
  readonly at?: string;
  readonly json?: true;
}

const standard: ExplainContext = { output: process, env: process.env, now: Date.now, stdin: process.stdin };

/** Exit code 0: the request would be allowed; 1: denied or refused, or the configuration has problems; 2: misuse. */
export function explainCommand(context: ExplainContext = standard): Command {
  return new Command('explain')
    .argument('[request...]', 'METHOD PATH, unless --tool or --mcp is given; audit files with --id')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--id <request>', 'a recorded request, found in these audit files')
    .option('--as <caller>', "a made-up caller, such as '{client: ai_agent_prod, scopes: [queries:execute]}'")
    .option('--token <token>', 'an access token, verified for real; - reads it from stdin, @FILE from a file')
    .option('--key <key>', 'an API key, in the same forms; it is never repeated')
    .option('--cert <file>', 'a client certificate, in PEM, with those of its chain')
    .option('--offline', 'fetch nothing: a token is decoded and its signature not verified')
    .option('--tool <name>', 'the tool that is called')
    .option('--args <json>', 'its arguments; - or @FILE reads them')
    .option('--via <tool>', 'the meta-tool that it is called through')
    .option('--mcp <message>', 'a whole JSON-RPC message; - or @FILE reads it')
    .option('--route <name>', 'the MCP route; default the only one')
    .option('--from <address>', 'the address of the client; default loopback')
    .option('--at <instant>', 'the time of the request; default now')
    .option('--json', 'print the explanation as JSON')
    .action(async (request: string[], options: Options) => {
      try {
        if (options.id !== undefined) return await explainId(options.id, request, options, context);
        const explanation = await explainOptions(request, options, context);
        print(explanation, options, context);
        context.output.exitCode = explanation.allowed ? 0 : 1;
      } catch (error) {
        if (!(error instanceof FormError)) throw error;
        for (const { path, message } of error.problems)
          say(context.output, `portcullis: ${[path.map(optionOf).join('.'), message].filter(Boolean).join(': ')}`);
        context.output.exitCode = 2;
      }
    });
}

/** `--id`: the explanation of a recorded request. */
async function explainId(
  id: string,
  files: readonly string[],
  options: Options,
  context: ExplainContext,
): Promise<void> {
  const others = Object.keys(options).filter((name) => !['config', 'id', 'json'].includes(name));
  if (others.length > 0) throw misuse(`--id names a recorded request; it does not go with --${others[0]}`);
  if (files.length === 0) throw misuse('--id needs the audit files behind it');
  await printRecord(id, files, options, context);
}

function print(explanation: RequestExplanation, { json }: Options, context: ExplainContext): void {
  context.output.stdout.write(json ? jsonOf(explanation) : explanationText(explanation, paintOf(context)));
}

async function explainOptions(
  request: readonly string[],
  options: Options,
  context: ExplainContext,
): Promise<RequestExplanation> {
  const read = await readOptions(request, options, context);
  const policyFile = await openPolicyFile(options.config, {
    ...context,
    // A real one is verified with the authorities and secrets of the file.
    needsSecrets: options.token !== undefined || options.cert !== undefined,
    note: noteTo(context.output),
  });
  try {
    return await explainRequest(policyFile, read, context.now);
  } finally {
    await policyFile.close();
  }
}

async function readOptions(
  request: readonly string[],
  options: Options,
  { stdin }: ExplainContext,
): Promise<ExplainedRequest> {
  const { as, at, cert, from, key, mcp, offline, route, token, tool, via } = options;
  const given = [options.token, options.key, options.args, options.mcp];
  if (given.filter((each) => each === '-').length > 1) throw misuse('only one option can read stdin');
  if (as !== undefined && [token, key, cert].some((each) => each !== undefined))
    throw misuse('--as makes up a caller; it does not go with --token, --key or --cert');
  if (offline && token === undefined) throw misuse('--offline goes with --token');
  if (request.length !== 0 && request.length !== 2) throw misuse('give METHOD and PATH, such as GET /api/dashboards');
  const value = async (name: string, text: string | undefined) =>
    text === undefined ? undefined : readValue(name, text, stdin);
  const args = await value('--args', options.args);
  const message = await value('--mcp', mcp);
  const [method, path] = request;
  const call = {
    route,
    tool,
    via,
    args: args === undefined ? undefined : parsed('--args', args, jsonText),
    mcp: message === undefined ? undefined : { method: 'ping' },
    method: method?.toUpperCase(),
    path,
  };
  const presented: Presented = {
    token: (await value('--token', token))?.toString().trim(),
    key: (await value('--key', key))?.toString().trim(),
    certificate: cert === undefined ? undefined : await readPeer(cert),
  };
  return {
    form: readForm(
      requestForm,
      withoutUndefined({ as: as === undefined ? undefined : parsed('--as', as, parse), from, at, call }),
    ),
    message,
    presented: as === undefined ? presented : undefined,
    offline: offline === true,
  };
}

/** Text itself, `-` for standard input, or `@FILE`. */
async function readValue(name: string, text: string, stdin: AsyncIterable<Buffer>): Promise<Buffer> {
  if (text === '-') return readAll(stdin);
  return text.startsWith('@') ? readNamed(name, text.slice(1)) : Buffer.from(text);
}

async function readNamed(name: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw misuse(`${name}: cannot read ${file}: ${fileProblem(error)}`);
  }
}

/** The certificate of a PEM file, which comes first, and those of its chain. */
async function readPeer(file: string): Promise<PeerCertificate> {
  const pem = await readNamed('--cert', file);
  try {
    const [certificate, ...chain] = parsePem(pem, 'CERTIFICATE').map((der) => new X509Certificate(der));
    if (certificate === undefined) throw new Error('it holds no certificate');
    return { certificate, chain, authorizationError: undefined };
  } catch (error) {
    throw misuse(`--cert: ${file}: ${(error as Error).message}`);
  }
}

/** The text itself: a value would lose the form of its numbers, and names that occur twice. */
function jsonText(bytes: Buffer): string {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  JSON.parse(text);
  return text;
}

function parsed<T>(name: string, input: T, parseInput: (input: T) => unknown): unknown {
  try {
    return parseInput(input);
  } catch (error) {
    throw misuse(`${name}: ${(error as Error).message.split('\n')[0]}`);
  }
}

function withoutUndefined(value: object): object {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(
    entries.map(([key, each]) => [key, key === 'call' ? withoutUndefined(each as object) : (each as unknown)]),
  );
}

function misuse(message: string): FormError {
  return new FormError([{ path: [], message }]);
}

/** The option that a member of the form comes from. */
function optionOf(step: FormProblem['path'][number], index: number): string {
  if (index > 0) return String(step);
  return step === 'call' ? 'call' : `--${step}`;
}
