// `portcullis check --online`: what it finds of issuers, introspection, upstreams, audit files and certificates, and what it says was meant.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { upstreamWarnings } from '../../src/cli/dev/upstream-warnings.ts';
import { checkCommand } from '../../src/cli/policy/check.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { endOf } from '../../src/review/online/online-check.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { startRespServer } from '../support/resp-server.ts';
import { closedPort, type Reply, startUpstream } from '../support/upstream.ts';
import { capture } from './capture.ts';

/** An MCP server at `/mcp` alone. */
const mcpServer: Reply = ({ method, url, body }, response) => {
  if (url !== '/mcp') return void response.writeHead(404).end('no such page');
  if (method !== 'POST') return void response.writeHead(204).end();
  const { id, method: rpc } = JSON.parse(body.toString()) as { id?: number; method: string };
  if (rpc !== 'initialize') return void response.writeHead(202).end();
  const serverInfo = { name: 'demo', version: '1' };
  const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
  response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 's1' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
};

interface Parts {
  readonly authenticators?: object;
  readonly url?: string;
  readonly tls?: object;
  readonly route?: object;
  readonly audit?: object;
  readonly state?: object;
  readonly files?: Readonly<Record<string, string>>;
}

async function check(
  t: Test,
  { authenticators, url, tls, route, audit, files, state }: Parts,
  ...args: readonly string[]
) {
  const isMcp = route === undefined || 'mcp' in route;
  const config = {
    version: 1,
    server: { listen: '127.0.0.1:0', publicUrl: 'https://mcp.example.com' },
    admin: { listen: '127.0.0.1:0' },
    authenticators: authenticators ?? { keys: { type: 'apiKey', sunset: '2099-01-01', keys: [] } },
    upstreams: { superset: { url: url ?? 'http://127.0.0.1:1', ...(tls && { tls }) } },
    routes: [
      {
        ...{
          name: 'r',
          path: '/mcp',
          upstream: 'superset',
          authenticate: Object.keys(authenticators ?? { keys: 1 })[0],
        },
        ...(isMcp && { mcp: { rules: [{ deny: { tools: ['a'] } }] } }),
        ...route,
      },
    ],
    audit: audit ?? { sinks: [{ type: 'stdout' }] },
    ...(state && { state }),
  };
  const file = join(t.testdir({ 'gateway.yaml': JSON.stringify(config), ...files }), 'gateway.yaml');
  const output = capture();
  await checkCommand(output, {})
    .exitOverride()
    .parseAsync(['-c', file, '--online', ...args], { from: 'user' });
  return { file, out: output.text(), err: output.errors(), exitCode: output.exitCode };
}

/** Level and message of each finding about a part. */
async function findings(t: Test, parts: Parts, path: string): Promise<[string, string][]> {
  const { out, exitCode } = await check(t, parts, '--json');
  const { ok, online } = JSON.parse(out) as { ok: boolean; online: { path: string; level: string; message: string }[] };
  t.equal(exitCode, online.some(({ level }) => level === 'error') ? 1 : 0, 'errors end with 1');
  t.equal(ok, exitCode === 0);
  return online.filter((each) => each.path === path).map(({ level, message }) => [level, message]);
}

t.test('an issuer with one slash too many', async (t) => {
  const issuer = await createFakeIssuer();
  t.teardown(issuer.close);
  const of = (more: object) => ({ authenticators: { corp: { type: 'jwt', issuer: issuer.issuer, ...more } } });
  const found = (more: object) => findings(t, of(more), 'authenticators.corp');
  const keys = (count: number) => `${issuer.issuer} has 1 key, ${count} usable with ES256`;
  t.same(await found({ algorithms: ['ES256'] }), [['ok', keys(1)]]);
  const meant = `${issuer.issuer}/ calls itself "${issuer.issuer}": only the slash at the end differs; write issuer as the issuer does`;
  t.same(await found({ issuer: `${issuer.issuer}/` }), [['error', meant]]);
  t.same(await found({ issuer: `${issuer.issuer}/`, jwksUri: issuer.jwksUri }), [['error', meant]]);
  t.same(await found({ algorithms: ['RS256'] }), [
    ['error', `${issuer.issuer} has 1 key, and none is usable with RS256`],
  ]);
  issuer.fault = 'not-found';
  issuer.faulty = ['metadata'];
  t.match(await found({}), [['error', /^the keys of \S+ cannot be fetched: no usable metadata: /]]);
  t.same(await found({ jwksUri: issuer.jwksUri, algorithms: ['ES256'] }), [['ok', keys(1)]]);
  issuer.faulty = ['keys'];
  t.match(await found({ jwksUri: issuer.jwksUri }), [['error', /cannot be fetched: .*404/]]);
});

t.test('an introspection endpoint that refuses the client, and one that nobody answers at', async (t) => {
  const introspection = await startIntrospection();
  t.teardown(introspection.close);
  const found = (more: object = {}) =>
    findings(t, { authenticators: { partner: { ...introspection.authenticator, ...more } } }, 'authenticators.partner');
  t.same(await found(), [['ok', `${introspection.endpoint} answers and accepts the client`]]);
  t.same(introspection.tokens(), ['portcullis-check-online'], 'of a token that nobody has issued');
  const refusing = await startUpstream({ reply: (_request, response) => void response.writeHead(401).end() });
  t.teardown(refusing.close);
  t.match(await found({ endpoint: refusing.url }), [
    ['error', /refuses the client \(status 401\); look at clientId and its secret or key$/],
  ]);
  t.match(await found({ endpoint: await closedPort() }), [['error', /gives no usable answer: /]]);
});

t.test('a shared state that is a replica, one that nobody answers at, and one that works', async (t) => {
  const server = await startRespServer();
  t.teardown(server.close);
  const found = (url: string) => findings(t, { state: { redis: { url } } }, 'state.redis');
  const where = `127.0.0.1:${server.port}`;
  t.same(await found(server.url), [['ok', `${where} takes what the gateway writes`]]);
  server.script = () => '-READONLY no\r\n';
  const moved = 'read_only: the server is a replica; a fail-over has moved the master (READONLY no)';
  t.same(await found(server.url), [['error', `${where}: ${moved}`]]);
  await server.close();
  t.match(await found(server.url), [['error', /: unreachable: the connection cannot be made.*ECONNREFUSED/]]);
});

t.test('upstreams.url with the path of the route', async (t) => {
  const upstream = await startUpstream({ reply: mcpServer });
  t.teardown(upstream.close);
  const found = (parts: Parts) => findings(t, parts, 'upstreams.superset');
  t.same(await found({ url: upstream.url }), [
    ['ok', `${upstream.url}/mcp is an MCP server: "demo 1", revision "2025-11-25"`],
  ]);
  t.equal(upstream.requests.at(-1)?.method, 'DELETE', 'the session is ended again');
  t.same(await found({ url: `${upstream.url}/mcp` }), [
    [
      'error',
      `${upstream.url}/mcp/mcp is no MCP server: status 404 without a result; ${upstream.url}/mcp is one: the url has the path of the route already, write ${upstream.url}`,
    ],
  ]);
  t.same(await found({ url: upstream.url, route: { path: '/finance/mcp', mcp: {} } }), [
    [
      'error',
      `${upstream.url}/finance/mcp is no MCP server: status 404 without a result; ${upstream.url}/mcp is one: write upstreamPath: /mcp`,
    ],
  ]);
  t.match(await found({ url: `${upstream.url}/elsewhere` }), [
    ['error', /\/elsewhere\/mcp is no MCP server: status 404 without a result; look at url, path and upstreamPath$/],
  ]);
  const nobody = await closedPort();
  t.match(await found({ url: nobody }), [['error', new RegExp(`^nobody answers at ${nobody}/mcp: .*ECONNREFUSED`)]]);
  const api = { path: '/api', rules: [] };
  t.same(await found({ url: upstream.url, route: api }), [['ok', `${upstream.url} answers (status 404)`]]);
  t.match(await found({ url: nobody, route: api }), [['error', /^nobody answers at /]]);
  const strict = await startUpstream({ reply: (_request, response) => void response.writeHead(401).end() });
  t.teardown(strict.close);
  t.same(await found({ url: strict.url }), [
    ['ok', `${strict.url}/mcp answers, and refuses who is nobody there (status 401)`],
  ]);
});

t.test('dev --upstream to nobody', async (t) => {
  const nobody = await closedPort();
  const { file } = await check(t, { url: nobody });
  t.match(await upstreamWarnings(file), [
    new RegExp(`^nobody answers at ${nobody}/mcp: .*; the connection was refused: start the server`),
  ]);
  const upstream = await startUpstream({ reply: mcpServer });
  t.teardown(upstream.close);
  t.same(await upstreamWarnings((await check(t, { url: upstream.url })).file), []);
});

t.test(
  'dev --upstream to a server that wants authentication, to one that is no MCP server, and to one of unknown TLS',
  async (t) => {
    const warningsOf = async (url: string) => upstreamWarnings((await check(t, { url })).file);
    const strict = await startUpstream({ reply: (_request, response) => void response.writeHead(401).end() });
    t.teardown(strict.close);
    t.match(await warningsOf(strict.url), [
      /status 401.*; it wants authentication: write upstreams\.superset\.authorization/,
    ]);
    const page = await startUpstream({ reply: (_request, response) => void response.end('<html>') });
    t.teardown(page.close);
    t.match(await warningsOf(page.url), [/; it does not speak MCP there: look at the path of --upstream$/]);
    const { certificatePem: cert, keyPem: key } = await (await createCertificateAuthority()).issue({
      ...{ commonName: 'localhost', dnsNames: ['localhost'], ips: ['127.0.0.1'], server: true },
    });
    const secret = await startUpstream({ reply: mcpServer, tls: { cert, key } });
    t.teardown(secret.close);
    t.match(await warningsOf(secret.url), [/; TLS failed: name its authority as upstreams\.superset\.tls\.caFile/]);
    t.match(await warningsOf(secret.url.replace('https:', 'http:')), [/^nobody answers|does not speak MCP/]);
  },
);

t.test('TLS of an upstream is verified, and the end of its authority is told', async (t) => {
  const authority = await createCertificateAuthority();
  const { certificatePem: cert, keyPem: key } = await authority.issue({
    ...{ commonName: 'localhost', dnsNames: ['localhost'], ips: ['127.0.0.1'], server: true },
  });
  const upstream = await startUpstream({ reply: mcpServer, tls: { cert, key } });
  t.teardown(upstream.close);
  t.match(await findings(t, { url: upstream.url }, 'upstreams.superset'), [
    ['error', /^nobody answers at https:\S+\/mcp: .*certificate/],
  ]);
  const caFile = 'ca.crt';
  const trusting = { url: upstream.url, tls: { caFile }, files: { [caFile]: authority.certificatePem } };
  t.match(await findings(t, trusting, 'upstreams.superset'), [['ok', /is an MCP server/]]);
  t.match(await findings(t, trusting, 'upstreams.superset.tls.caFile'), [
    [/^(ok|warning)$/, /^ends on \d{4}-\d\d-\d\d$/],
  ]);
  const findingsAt = (now: number) => endOf(Date.UTC(2026, 10, 20), now);
  t.same(findingsAt(Date.UTC(2026, 9, 1)), { level: 'ok', message: 'ends on 2026-11-20' });
  t.same(findingsAt(Date.UTC(2026, 10, 1)), { level: 'warning', message: 'ends on 2026-11-20' });
  t.same(findingsAt(Date.UTC(2026, 10, 20)), { level: 'error', message: 'has ended on 2026-11-20' });
});

t.test('audit files, and the table for people', async (t) => {
  const upstream = await startUpstream({ reply: mcpServer });
  t.teardown(upstream.close);
  const sinks = (path: string) => ({ sinks: [{ type: 'file', path }] });
  const good = await check(t, { url: upstream.url, audit: sinks('new/audit.jsonl') });
  t.equal(good.exitCode, 0);
  t.match(
    good.out,
    /^found {2}part +says\nok +upstreams\.superset +http.*\nok +audit\.sinks\[0\]\.path +can be created in /,
  );
  t.match(good.out, /gateway\.yaml: valid.*\nhash /);
  const bad = await check(t, { url: upstream.url, audit: sinks('gateway.yaml/audit.jsonl') });
  t.match([bad.exitCode, bad.out], [1, /error +audit\.sinks\[0\]\.path +cannot be written: /]);
  t.match(bad.err, /gateway\.yaml: 1 problem/);
  const siem = { sinks: [{ type: 'http', url: await closedPort() }] };
  const away = await check(t, { url: upstream.url, audit: siem });
  t.match([away.exitCode, away.out], [1, /error +audit\.sinks\[0\] +http:\/\/127\.0\.0\.1:\d+\/ could not be reached/]);
  const nobody = await check(t, { url: await closedPort() }, '--format', 'github');
  t.match(nobody.out, /^::error file=\S+,line=1,col=1,title=upstreams\.superset::nobody answers at /);
});
