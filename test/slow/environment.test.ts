// The development environment: printed commands, directories, ports and shutdown.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import t, { type Test } from 'tap';
import { Agent, fetch as undiciFetch } from 'undici';
import { runGateway } from '../../src/cli/serve.ts';
import { loadConfig } from '../../src/config/load.ts';
import { clientConfigurations } from '../../src/dev/client-configurations.ts';
import { type DevelopmentEnvironment, startDevelopmentEnvironment } from '../../src/dev/environment.ts';
import { instructions, quote, type Step } from '../../src/dev/instructions.ts';
import { instructionsText } from '../../src/dev/instructions-text.ts';
import { loadOptionalPackage } from '../../src/dev/optional-package.ts';
import { startDemoSuperset } from '../../src/dev/superset/server.ts';
import { createLog } from '../../src/log.ts';
import { approve } from '../dev/browser.ts';

const anyPorts = { gateway: 0, admin: 0, issuer: 0, upstream: 0 };
const log = createLog({ level: 'silent' });
const startGateway = (configFile: string) => runGateway({ configFile, log });
const main = resolve(import.meta.dirname, '../../src/main.ts');
const program = [process.execPath, main];

/** Pastes everything that was printed into one bash; returns what each command with an expectation printed. */
async function paste(t: Test, environment: DevelopmentEnvironment): Promise<Map<Step, string>> {
  const sections = instructions({ ...environment, program });
  const steps = sections.flatMap((section) => section.steps).filter((step) => step.command !== undefined);
  const script = steps.map((step) => `${step.command}\nprintf '\\n@@@@\\n'\n`).join('');
  const shell = spawn('bash', ['--noprofile', '--norc'], { cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
  shell.stdin.end(script);
  const [output, errors] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
  t.equal(errors, '', 'the shell and its commands have nothing to complain about');
  const outputs = output.split('\n@@@@\n');
  return new Map(steps.map((step, index) => [step, outputs[index] ?? '']));
}

/** Holds every output against what its line promises: the status in front of its text, and the words expected. */
function judge(t: Test, outputs: Map<Step, string>): void {
  for (const [{ says, expect }, output] of outputs) {
    if (expect === undefined) continue;
    const status = /^(\d{3}):/.exec(says)?.[1];
    if (status !== undefined) t.match(output, `HTTP/1.1 ${status}`, says);
    t.match(output, expect, says);
    if (status === undefined) t.notMatch(output, /HTTP\/1\.1 [45]/, says);
  }
}

t.test('every printed line, pasted as it is, does what it says', async (t) => {
  const environment = await startDevelopmentEnvironment({ ports: anyPorts, startGateway });
  t.teardown(() => environment.close());
  const outputs = await paste(t, environment);
  judge(t, outputs);
  t.ok(outputs.size > 30);

  const findings = (await readFile(environment.auditFile, 'utf8')).trim().split('\n');
  const reasons = new Set(findings.map((line) => JSON.parse(line).reason));
  for (const reason of [
    'insufficient_scope',
    'credentials_required',
    'invalid_token',
    'invalid_certificate',
    'denied',
  ]) {
    t.ok(reasons.has(reason), `the audit file tells of ${reason}`);
  }
  const secrets = [environment.apiKey, ...Object.values(environment.clientSecrets)];
  t.notOk(findings.some((line) => secrets.some((secret) => line.includes(secret)) || line.includes('eyJ')));

  await environment.close();
  t.notOk(existsSync(environment.directory), 'the temporary directory is gone');
  for (const url of [environment.issuer, environment.adminUrl, environment.upstreamUrl]) await t.rejects(fetch(url));
});

t.test(
  'an MCP client that knows only the URL is led to the log-in, steps up, and is itself at the upstream',
  async (t) => {
    const environment = await startDevelopmentEnvironment({ ports: anyPorts, startGateway });
    t.teardown(() => environment.close());
    const dispatcher = new Agent({ connect: { ca: await readFile(environment.caFile, 'utf8') } });
    t.teardown(() => dispatcher.close());
    const trusting = ((url: string | URL, init?: object) =>
      undiciFetch(url, { ...init, dispatcher })) as unknown as FetchLike;
    const login = createLogin();
    const connect = async () => {
      const client = new Client({ name: 'test', version: '1' });
      const options = { authProvider: login.provider, fetch: trusting };
      const transport = new StreamableHTTPClientTransport(new URL(environment.mcpUrl), options);
      return { client, transport, start: () => client.connect(transport as Parameters<typeof client.connect>[0]) };
    };
    const first = await connect();
    await t.rejects(first.start(), { message: 'Unauthorized' });
    t.equal(login.asked[0]?.origin, environment.issuer);
    t.equal(login.asked[0]?.searchParams.get('scope'), 'dashboards:read');
    t.equal(login.asked[0]?.searchParams.get('resource'), environment.mcpUrl);
    await first.transport.finishAuth((await approve(login.asked[0]!)).searchParams.get('code') ?? '');

    const second = await connect();
    await second.start();
    const facts = (await second.client.callTool({
      name: 'get_instance_info',
      arguments: { request: {} },
    })) as CallToolResult;
    t.match(JSON.stringify(facts.content), /\\"username\\":\\"analyst\\"/);
    const statement = { name: 'execute_sql', arguments: { request: { database_id: 1, sql: 'SELECT 1 AS one' } } };
    await t.rejects(second.client.callTool(statement), { message: 'Unauthorized' });
    t.equal(login.asked[1]?.searchParams.get('scope'), 'queries:execute', 'the challenge names what is missing');
    await second.transport.finishAuth((await approve(login.asked[1]!)).searchParams.get('code') ?? '');
    const answer = (await second.client.callTool(statement)) as CallToolResult;
    t.match(JSON.stringify(answer.content), /one/);
    await second.client.close();
  },
);

/** What an MCP client keeps of its log-in, and the addresses it would have opened in a browser. */
function createLogin() {
  const asked: URL[] = [];
  const kept: { client?: OAuthClientInformationMixed; tokens?: OAuthTokens; verifier?: string } = {};
  const provider: OAuthClientProvider = {
    redirectUrl: 'http://localhost:33418/callback',
    clientMetadata: {
      client_name: 'Test client',
      redirect_uris: ['http://localhost:33418/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => void Object.assign(kept, { client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => void Object.assign(kept, { tokens }),
    redirectToAuthorization: (url) => void asked.push(url),
    saveCodeVerifier: (verifier) => void Object.assign(kept, { verifier }),
    codeVerifier: () => kept.verifier ?? '',
  };
  return { asked, provider };
}

t.test('a package that was left out is named in one line', async (t) => {
  const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  await t.rejects(
    loadOptionalPackage('oidc-provider', () => Promise.reject(missing)),
    { message: 'portcullis dev needs the package oidc-provider, which is not installed: npm install oidc-provider' },
  );
  const other = new Error('broken');
  await t.rejects(
    loadOptionalPackage('oidc-provider', () => Promise.reject(other)),
    other,
  );
});

t.test('the configuration is accepted without a warning and opens nothing beyond loopback', async (t) => {
  const files: string[] = [];
  const environment = await startDevelopmentEnvironment({
    ports: anyPorts,
    startGateway: async (file) => {
      files.push(file);
      return { close: async () => {} };
    },
    now: () => Date.UTC(2026, 10, 23),
  });
  t.teardown(() => environment.close());
  const { config, warnings } = await loadConfig(files[0] ?? '', { env: {} });
  t.same(warnings, []);
  t.match([config.server.listen, config.admin.listen], [/^127\.0\.0\.1:/, /^127\.0\.0\.1:/]);
  t.match(config.authenticators['legacy-keys'], {
    deprecation: Date.UTC(2026, 10, 16),
    sunset: Date.UTC(2027, 1, 21),
  });
  const yaml = await readFile(environment.configFile, 'utf8');
  t.notMatch(yaml, environment.apiKey);
});

t.test('in front of any other MCP server, by its URL', async (t) => {
  const other = await startDemoSuperset();
  t.teardown(() => other.close());
  const environment = await startDevelopmentEnvironment({
    upstream: `${other.url}/mcp`,
    ports: anyPorts,
    startGateway,
  });
  t.teardown(() => environment.close());
  t.equal(environment.isDemo, false);
  judge(t, await paste(t, environment));
});

t.test('a URL that cannot be an MCP endpoint starts nothing', async (t) => {
  for (const upstream of ['nonsense', 'ftp://x/', 'http://user:pw@localhost/mcp', 'http://localhost/mcp?x=1']) {
    const started: string[] = [];
    const attempt = startDevelopmentEnvironment({
      upstream,
      ports: anyPorts,
      startGateway: async (file) => {
        started.push(file);
        return { close: async () => {} };
      },
    });
    await t.rejects(attempt, { message: /^--upstream must be/ });
    t.same(started, []);
  }
});

t.test('a kept directory is used again, and one with another configuration is left alone', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (let run = 0; run < 2; run++) {
    const environment = await startDevelopmentEnvironment({ directory, ports: anyPorts, startGateway });
    await environment.close();
    t.match((await readdir(directory)).sort(), ['audit.jsonl', 'gateway.yaml', 'pki']);
  }
  await writeFile(join(directory, 'gateway.yaml'), 'version: 1\n');
  const refused = startDevelopmentEnvironment({ directory, ports: anyPorts, startGateway });
  await t.rejects(refused, { message: /gateway\.yaml of its own/ });
  t.equal(await readFile(join(directory, 'gateway.yaml'), 'utf8'), 'version: 1\n');
});

for (const [directory, problem] of Object.entries({
  '/proc/portcullis': 'ENOENT: no such file or directory, mkdir',
  '/etc/hostname': 'ENOTDIR: not a directory, access',
  '/etc/hostname/below': 'ENOTDIR: not a directory, mkdir',
})) {
  t.test(`the directory ${directory} cannot be used`, async (t) => {
    const attempt = startDevelopmentEnvironment({ directory, ports: anyPorts, startGateway });
    await t.rejects(attempt, { message: new RegExp(`^--directory cannot be used: ${problem}`) });
  });
}

t.test('when the gateway cannot start, nothing is left behind', async (t) => {
  const seen: string[] = [];
  const failing = startDevelopmentEnvironment({
    ports: anyPorts,
    startGateway: async (file) => {
      seen.push(file);
      throw new Error('no');
    },
  });
  await t.rejects(failing, { message: 'no' });
  t.notOk(existsSync(seen[0] ?? '/'));
});

t.test('a port that was asked for and is taken is named with its option', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.teardown(() => holder.close());
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  for (const [name, option] of [
    ['gateway', '--port'],
    ['admin', '--admin-port'],
    ['issuer', '--issuer-port'],
    ['upstream', '--upstream-port'],
  ]) {
    const attempt = startDevelopmentEnvironment({ ports: { ...anyPorts, [name ?? '']: port }, startGateway });
    await t.rejects(attempt, { message: new RegExp(`^port ${port} .* is taken; choose another with ${option}$`) });
  }
});

t.test('the command prints, and Ctrl-C stops all of it with exit code 0', async (t) => {
  const ports = ['--port', '0', '--admin-port', '0', '--issuer-port', '0', '--upstream-port', '0'];
  const child = spawn(process.execPath, [main, 'dev', ...ports], { stdio: ['ignore', 'pipe', 'pipe'] });
  const errors = text(child.stderr);
  let printed = '';
  for await (const chunk of child.stdout) {
    printed += chunk;
    if (printed.includes('Ctrl-C stops all of it')) break;
  }
  t.notMatch(printed, '\x1b', 'no colours into a pipe');
  t.notMatch(printed, 'WARNING');
  const directory = /configuration +(\/\S+)\/gateway\.yaml/.exec(printed)?.[1] ?? '/';
  t.ok(existsSync(directory));
  child.kill('SIGINT');
  const [code, signal] = await once(child, 'exit');
  t.same([code, signal], [0, null]);
  t.notOk(existsSync(directory));
  t.equal(await errors, '');
});

t.test('colours only where they are asked for, and words quoted for the shell', async (t) => {
  const sections = [{ title: 'Title', steps: [{ says: 'why', command: 'true' }, { says: 'remark' }] }];
  const clients = clientConfigurations({ mcpUrl: 'https://localhost:1/mcp', caFile: '/ca.crt' });
  const plain = instructionsText(sections, clients, false);
  t.match(plain, '# Title\n# why\ntrue\n# remark\n');
  t.match(instructionsText(sections, [], true), '\x1b[1m# Title\x1b[0m');
  const json = plain.split('\n').filter((line) => line.startsWith('{'));
  t.equal(json.map((line) => JSON.parse(line)).length, 4);
  t.same(['a/b.c', "it's", ''].map(quote), ['a/b.c', `'it'\\''s'`, `''`]);
});
