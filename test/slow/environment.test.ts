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
import { placesOf } from '../../src/cli/dev/event.ts';
import { runGateway } from '../../src/cli/serve.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type DevelopmentEnvironment, startDevelopmentEnvironment } from '../../src/dev/environment.ts';
import { tourSections } from '../../src/dev/files/tour.ts';
import { tourScript } from '../../src/dev/files/tour-script.ts';
import { loadOptionalPackage } from '../../src/dev/optional-package.ts';
import { startDemoSuperset } from '../../src/dev/superset/server.ts';
import { createLog } from '../../src/log.ts';
import { quote } from '../../src/shell.ts';
import { approve } from '../dev/browser.ts';
import { closedPort } from '../support/upstream.ts';

const anyPorts = { gateway: 0, admin: 0, issuer: 0, upstream: 0 };
const log = createLog({ level: 'silent' });
const startGateway = (configFile: string) => runGateway({ configFile, log });
const main = resolve(import.meta.dirname, '../../src/main.ts');
const program = [process.execPath, main];

/** Runs a command in a bash of its own, from a directory where nothing lies. */
async function bash(command: string): Promise<{ code: number | null; output: string; errors: string }> {
  const shell = spawn('bash', ['--noprofile', '--norc', '-c', command], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors, [code]] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'exit')]);
  return { code, output, errors };
}

/** Runs `tour.sh`, which holds each answer against what its line promises. */
async function runTour(t: Test, environment: DevelopmentEnvironment): Promise<void> {
  const { code, errors, output } = await bash(`bash ${quote(environment.tourFile)}`);
  const promises = tourSections(environment).flatMap(({ steps }) => steps.filter(({ expect }) => expect !== undefined));
  t.equal(code, 0, output);
  t.equal(errors, '');
  t.notMatch(output, 'set +v');
  t.equal(output.match(/^✓ as expected: /gm)?.length, promises.length);
  t.notMatch(output, /^✗|command not found|syntax error/m);
  t.match(output, '✓ The tour is over: every answer was the expected one.\n');
}

/** Runs the two printed commands. */
async function runPrinted(t: Test, environment: DevelopmentEnvironment): Promise<void> {
  const { allowed, refused } = placesOf(environment);
  t.match(await bash(allowed), { code: 0, errors: '', output: /^HTTP\/1\.1 200 OK\n/ });
  t.match(await bash(refused), { code: 0, errors: '', output: /^HTTP\/1\.1 403 Forbidden\n[\s\S]*insufficient_scope/ });
}

t.test('tour.sh from start to end, and the two printed commands', async (t) => {
  const environment = await startDevelopmentEnvironment({ ports: anyPorts, program, startGateway });
  t.teardown(() => environment.close());
  await runTour(t, environment);
  await runPrinted(t, environment);

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
    const environment = await startDevelopmentEnvironment({ ports: anyPorts, program, startGateway });
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
    { message: 'portcullis dev needs oidc-provider, which this installation leaves out: npx mcp-portcullis dev' },
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
    program,
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
    program,
    startGateway,
  });
  t.teardown(() => environment.close());
  t.equal(environment.isDemo, false);
  await runTour(t, environment);
  await runPrinted(t, environment);
});

t.test('a URL that cannot be an MCP endpoint starts nothing', async (t) => {
  for (const upstream of ['nonsense', 'ftp://x/', 'http://user:pw@localhost/mcp', 'http://localhost/mcp?x=1']) {
    const started: string[] = [];
    const attempt = startDevelopmentEnvironment({
      upstream,
      ports: anyPorts,
      program,
      startGateway: async (file) => {
        started.push(file);
        return { close: async () => {} };
      },
    });
    await t.rejects(attempt, { message: /^--upstream must be/ });
    t.same(started, []);
  }
});

t.test('a gateway.yaml that was edited is kept beside the new one, and said so', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const idle = { directory, ports: anyPorts, program, startGateway: async () => ({ close: async () => {} }) };
  const run = async () => {
    const environment = await startDevelopmentEnvironment(idle);
    await environment.close();
    return environment.notes;
  };
  t.same(await run(), []);
  t.same(await run(), [], 'as written, it is written again');
  const path = join(directory, 'gateway.yaml');
  for (const copy of [`${path}.1`, `${path}.2`]) {
    const edited = (await readFile(path, 'utf8')).replace('"delete_*"', '"remove_*"');
    await writeFile(path, edited);
    t.same(await run(), [`gateway.yaml was edited: it is kept as ${copy}, and written anew`]);
    t.equal(await readFile(copy, 'utf8'), edited);
    t.match(await readFile(path, 'utf8'), '"delete_*"');
  }
  t.same(await run(), []);
});

t.test('stopped during the start: no further part is started, and nothing is left behind', async (t) => {
  const stop = new AbortController();
  const parts: string[] = [];
  const files: string[] = [];
  const attempt = startDevelopmentEnvironment({
    ports: anyPorts,
    program,
    startGateway: async (file) => {
      files.push(file);
      return { close: async () => {} };
    },
    stopped: stop.signal,
    onPart: ({ name }) => {
      parts.push(name);
      stop.abort();
    },
  });
  await t.rejects(attempt, { name: 'AbortError' });
  t.same([parts, files], [['demo Superset'], []]);
});

t.test('try.sh and tour.sh in another shell than bash', async (t) => {
  const environment = await startDevelopmentEnvironment({
    ports: anyPorts,
    program,
    startGateway: async () => ({ close: async () => {} }),
  });
  t.teardown(() => environment.close());
  for (const file of [environment.tryFile, environment.tourFile]) {
    const message = { output: '', errors: `this needs bash: bash ${file}\n` };
    t.same(await bash(`unset BASH_VERSION; . ${quote(file)}`), { code: 2, ...message });
  }
});

t.test('a kept directory is used again, and one with another configuration is left alone', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (let run = 0; run < 2; run++) {
    const environment = await startDevelopmentEnvironment({ directory, ports: anyPorts, program, startGateway });
    await environment.close();
    t.match((await readdir(directory)).sort(), ['audit.jsonl', 'clients', 'gateway.yaml', 'pki', 'tour.sh', 'try.sh']);
  }
  await writeFile(join(directory, 'gateway.yaml'), 'version: 1\n');
  const refused = startDevelopmentEnvironment({ directory, ports: anyPorts, program, startGateway });
  await t.rejects(refused, { message: /gateway\.yaml of its own/ });
  t.equal(await readFile(join(directory, 'gateway.yaml'), 'utf8'), 'version: 1\n');
});

for (const [directory, problem] of Object.entries({
  '/proc/portcullis': 'ENOENT: no such file or directory, mkdir',
  '/etc/hostname': 'ENOTDIR: not a directory, access',
  '/etc/hostname/below': 'ENOTDIR: not a directory, mkdir',
})) {
  t.test(`the directory ${directory} cannot be used`, async (t) => {
    const attempt = startDevelopmentEnvironment({ directory, ports: anyPorts, program, startGateway });
    await t.rejects(attempt, { message: new RegExp(`^--directory cannot be used: ${problem}`) });
  });
}

t.test('when the gateway cannot start, nothing is left behind', async (t) => {
  const seen: string[] = [];
  const failing = startDevelopmentEnvironment({
    ports: anyPorts,
    program,
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
    const attempt = startDevelopmentEnvironment({ ports: { ...anyPorts, [name ?? '']: port }, program, startGateway });
    await t.rejects(attempt, { message: new RegExp(`^port ${port} .* is taken; choose another with ${option}$`) });
  }
});

t.test('tour.sh says where an answer is another one, and ends with 1', async (t) => {
  const steps = [{ says: 'a wrong promise', command: 'echo no', expect: 'yes' }];
  const environment = await startDevelopmentEnvironment({ ports: anyPorts, program, startGateway });
  t.teardown(() => environment.close());
  const path = join(environment.directory, 'wrong.sh');
  await writeFile(path, tourScript([{ title: 'Wrong', steps }], { path, trySh: environment.tryFile }));
  const { code, output } = await bash(`bash ${quote(path)}`);
  t.equal(code, 1);
  t.match(output, /^# a wrong promise\necho no \| expect '' yes\nno\n✗ EXPECTED: yes$/m);
  t.match(output, /✗ The tour is over: 1 answer/);
});

t.test('the written TypeScript client lists the tools, and the Python client compiles', async (t) => {
  const environment = await startDevelopmentEnvironment({ ports: anyPorts, program, startGateway });
  t.teardown(() => environment.close());
  // Beside node_modules.
  const folder = t.testdir({ 'client.ts': await readFile(join(environment.clientsDirectory, 'client.ts'), 'utf8') });
  const command = `NODE_EXTRA_CA_CERTS=${quote(environment.caFile)} ${process.execPath} ${quote(join(folder, 'client.ts'))}`;
  t.match(await bash(command), { code: 0, output: /^execute_sql$/m });
  t.match(await bash(`python3 -m py_compile ${quote(join(environment.clientsDirectory, 'client.py'))}`), { code: 0 });
});

const portOptions = ['--port', '0', '--admin-port', '0', '--issuer-port', '0', '--upstream-port', '0'];

/** The command as a process. `until` resolves with all of its output once that matches. */
function runCommand(t: Test, ...options: string[]) {
  const child = spawn(process.execPath, [main, 'dev', ...portOptions, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const errors = text(child.stderr);
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  const until = async (mark: RegExp): Promise<string> => {
    while (!mark.test(printed)) await once(child.stdout, 'data');
    return printed;
  };
  return { child, errors, exit: once(child, 'exit'), until };
}

t.test(
  'the command says what it does, tests itself, tells of requests and reloads, and Ctrl-C stops all of it',
  async (t) => {
    const { child, errors, exit, until } = runCommand(t);
    const printed = await until(/Your MCP client: /);
    t.match(printed, /^Starting Portcullis on loopback\. Ctrl-C stops it\.\n {2}program +\d+\.\d\d s\n/);
    t.notMatch(printed, '\x1b', 'no colours into a pipe');
    t.notMatch(printed, '✗');
    t.equal(printed.match(/^ {2}✓ /gm)?.length, 3);
    const directory = /files +(\/\S+)/.exec(printed)?.[1] ?? '/';
    t.match(printed, `  bash ${directory}/try.sh agent execute_sql\n  bash ${directory}/try.sh frontend execute_sql\n`);

    await bash(`bash ${directory}/try.sh frontend execute_sql`);
    await until(/analytics_frontend +execute_sql +deny +rule superset:sql {2}insufficient_scope {2}403 {2}\S+ ms\n/);

    const yaml = await readFile(join(directory, 'gateway.yaml'), 'utf8');
    await writeFile(join(directory, 'gateway.yaml'), yaml.replace('tools: ["delete_*"]', 'tols: ["delete_*"]'));
    await until(/not reloaded {2}the old configuration stays in force: \S+gateway\.yaml:\d+:\d+ .*tols/);
    await writeFile(join(directory, 'gateway.yaml'), yaml.replace('"delete_*"', '"remove_*"'));
    await until(/ reloaded {2}policy [0-9a-f]{12} is in force\n/);

    child.kill('SIGINT');
    t.same(await exit, [0, null]);
    t.match(await until(/removed/), `Stopping.\nStopped, and ${directory} is removed.\n`);
    t.notOk(existsSync(directory));
    t.equal(await errors, '');
  },
);

t.test('dev --json --quiet', async (t) => {
  const { child, errors, exit, until } = runCommand(t, '--json', '--quiet');
  await until(/"event":"self-test"/);
  child.kill('SIGTERM');
  t.same(await exit, [0, null]);
  const events = (await until(/"stopped"/))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(events, [
    { event: 'ready', mcp: /^https:\/\/localhost:\d+\/mcp$/, console: /^http:\/\/127\.0\.0\.1:\d+\/$/, ms: Number },
    { event: 'self-test', passed: true },
    { event: 'stopping' },
    { event: 'stopped', removed: /portcullis-dev-/ },
  ]);
  t.equal(events.length, 4);
  t.notMatch(JSON.stringify(events), /sk_|secret/i);
  t.equal(await errors, '');
});

t.test('dev | head -1', async (t) => {
  const { child, errors, exit, until } = runCommand(t);
  await until(/Starting/);
  child.stdout.destroy();
  t.same(await exit, [0, null]);
  t.equal(await errors, '');
});

t.test('dev --upstream of a server that is away: it says so, the self-test fails, and it goes on', async (t) => {
  const { child, exit, until } = runCommand(t, '--upstream', `${await closedPort()}/mcp`);
  const printed = await until(/Your MCP client: /);
  t.match(printed, /^warning: nobody answers at \S+: .*ECONNREFUSED.*; the connection was refused: start the server/m);
  t.match(printed, /^ {2}✗ the agent reaches your server: expected 200, got 502/m);
  t.match(printed, /^ {2}✓ the frontend may not change anything: 403 insufficient_scope/m);
  t.match(printed, /^ {2}✓ the audit records of both verify/m);
  child.kill('SIGINT');
  t.same(await exit, [0, null]);
});

t.test('words are quoted for the shell', async (t) => {
  t.same(['a/b.c', "it's", ''].map(quote), ['a/b.c', `'it'\\''s'`, `''`]);
});
