// Loading of a configuration file: defaults, normalisation, and problems with their places.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, loadConfig } from '../../src/config/load.ts';
import { fileOf, linesOf, loadText } from './support.ts';

const dayMs = 86_400_000;

t.test('the smallest useful file is loaded with every default', async (t) => {
  const folder = t.testdir();
  const { config, warnings, file } = await loadText(folder, fileOf({ more: '' }));
  t.same(warnings, []);
  t.equal(file, join(folder, 'gateway.yaml'));
  t.equal(config.server.limits.bodyBytes, 1024 * 1024);
  t.equal(config.server.drainTimeout, 30_000);
  t.match(config.routes[0], { name: '/api', resource: 'https://mcp.example.com/api' });
  t.match(config.authenticators.corp, {
    type: 'jwt',
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    clockTolerance: 5000,
  });
  t.match(config.upstreams.superset, { timeouts: { connect: 5000, firstByte: 310_000, idle: 3_600_000 } });
  t.same(config.audit, { sinks: [{ type: 'stdout', required: true }], timeout: 2000, onFailure: 'refuse' });
});

t.test('names, resources and the public URL are filled in and normalised', async (t) => {
  const { config } = await loadText(
    t.testdir(),
    fileOf({
      server: '{listen: "127.0.0.1:1", publicUrl: "https://MCP.example.com:443/"}',
      routes:
        '[{path: /api/*, upstream: superset, authenticate: corp, name: api}, {path: /b, resource: https://other.example/b, upstream: superset, authenticate: corp}]',
    }),
  );
  t.equal(config.server.publicUrl, 'https://mcp.example.com');
  t.match(config.routes, [
    { name: 'api', resource: 'https://mcp.example.com/api' },
    { name: '/b', resource: 'https://other.example/b' },
  ]);
});

t.test('a load yields the compiled policy of each route, preset and meta-tools included', async (t) => {
  const { policies } = await loadText(
    t.testdir(),
    fileOf({
      routes:
        '[{path: /api, name: api, upstream: superset, authenticate: corp, scopes: [a]}, {path: /open, upstream: superset, authenticate: none}, {path: /any, upstream: superset, authenticate: corp}, {path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset, rules: [{name: own, deny: {tools: [x]}}]}}]',
    }),
  );
  const rulesOf = (route: string) => policies.get(route)?.rules.map(({ name }) => name);
  t.same([...policies.keys()], ['api', '/open', '/any', '/mcp']);
  t.same(rulesOf('api'), ['scopes']);
  t.same(rulesOf('/open'), ['anyone']);
  t.same(rulesOf('/any'), ['authenticated']);
  t.same(rulesOf('/mcp')?.slice(0, 2), ['own', 'superset:open']);
  t.same([...(policies.get('/mcp')?.metaTools.calls.keys() ?? [])], ['call_tool']);
});

t.test('a preset fills in what is not written, and adds nothing to what is', async (t) => {
  const authenticators = (more: string) =>
    `{corp: {type: jwt, preset: keycloak, issuer: "https://sso.example/realms/a"${more}}}`;
  const read = async (more: string) =>
    (await loadText(t.testdir(), fileOf({ authenticators: authenticators(more) }))).config.authenticators.corp;
  t.match(await read(''), {
    tokenTypes: ['JWT', 'at+jwt'],
    requiredClaims: { typ: ['Bearer', 'DPoP'] },
    claims: { username: 'preferred_username' },
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  });
  const written = await read(', requiredClaims: {}, claims: {tenant: org}, tokenTypes: [at+jwt]');
  t.strictSame(written?.type === 'jwt' && [written.requiredClaims, written.claims, written.tokenTypes], [
    {},
    { tenant: 'org' },
    ['at+jwt'],
  ]);
});

t.test('a file that is no YAML has one problem, at its place', async (t) => {
  const deep = `version: ${'['.repeat(5000)}`;
  const cases: [string, string | Buffer, string][] = [
    [
      'a bracket left open',
      'version: [1\nserver: 2',
      'gateway.yaml:2:1 not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    [
      'an unquoted reference in a flow map',
      '{a: ${env:X}}',
      'gateway.yaml:1:6 not valid YAML: Unexpected flow-map-start at node end',
    ],
    ['nothing', '', 'gateway.yaml:1:1 the file is empty'],
    ['comments only', '# nothing\n', 'gateway.yaml:1:1 the file is empty'],
    ['two documents', 'version: 1\n---\nversion: 1\n', 'gateway.yaml:2:1 the file holds more than one YAML document'],
    [
      'YAML 1.1',
      '%YAML 1.1\n---\nversion: 1\n',
      'gateway.yaml:1:1 only YAML 1.2 is read; leave the %YAML directive out',
    ],
    ['no UTF-8', Buffer.from([0x61, 0x3a, 0xff]), 'gateway.yaml:1:1 the file is not UTF-8 text'],
    ['an unknown tag', 'version: !env X', 'gateway.yaml:1:10 YAML tags are not understood here'],
  ];
  for (const [name, yaml, line] of cases) t.same(await linesOf(t.testdir(), yaml), [line], name);
  t.match(await linesOf(t.testdir(), deep), [/^gateway\.yaml:1:\d+ nested too deeply$/]);
});

t.test('keys that are repeated, unknown, forbidden or no strings are problems where they stand', async (t) => {
  const yaml = [
    'version: 1',
    'version: 1',
    'server: {listen: "127.0.0.1:1", publicUrl: https://a.example, 7: x, __proto__: {}}',
    'authenticatrs: {}',
    'upstreams: {superset: {url: "http://127.0.0.1:5008", timeout: {}}}',
    'routes: [{path: /api, upstream: superset, authenticate: none, ? [a] : b}]',
    'audit: {sinks: [{type: stdout, path: x}]}',
    'surprise: !!binary aGk=',
    'more: *nothing',
  ].join('\n');
  t.same(await linesOf(t.testdir(), yaml), [
    'gateway.yaml:2:1 version: duplicate key',
    'gateway.yaml:3:9 server: every key must be a string; quote it',
    'gateway.yaml:3:69 server["__proto__"]: this key is not allowed'.replace('["__proto__"]', '.__proto__'),
    'gateway.yaml:4:1 authenticatrs: unknown key "authenticatrs" (did you mean "authenticators"?)',
    'gateway.yaml:5:54 upstreams.superset.timeout: unknown key "timeout" (did you mean "timeouts"?)',
    'gateway.yaml:6:10 routes[0]: every key must be a string; quote it',
    'gateway.yaml:7:32 audit.sinks[0].path: unknown key "path"',
    'gateway.yaml:8:1 surprise: unknown key "surprise"',
    'gateway.yaml:8:20 surprise: YAML tags are not understood here',
    'gateway.yaml:9:1 more: unknown key "more"',
    'gateway.yaml:9:7 more: the alias stands for nothing: no anchor of its name comes before it',
  ]);
});

t.test('aliases may repeat a value but not explode', async (t) => {
  const sharing = fileOf({
    upstreams:
      '{a: {url: "http://127.0.0.1:1", timeouts: &t {connect: 1s}}, b: {url: "http://127.0.0.1:2", timeouts: *t}}',
    routes: '[{path: /a, upstream: a, authenticate: corp}, {path: /b, upstream: b, authenticate: corp}]',
  });
  t.same(await linesOf(t.testdir(), sharing), []);
  const laughs = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (const [name, before] of ['ba', 'cb', 'dc', 'ed', 'fe']) {
    laughs.push(`${name}: &${name} [${Array(10).fill(`*${before}`).join(', ')}]`);
  }
  const lines = await linesOf(t.testdir(), laughs.join('\n'));
  t.equal(lines.filter((line) => line.endsWith('the aliases of this file expand to too many values')).length, 1);
  const recursive = await linesOf(t.testdir(), 'version: &a [*a]');
  t.match(recursive.at(-1), /^gateway\.yaml:1:14 version\S+: nested too deeply$/);
});

t.test('a wrong shape is told in words, with the nearest that is right', async (t) => {
  const yaml = [
    'version: 2',
    'server:',
    '  listen: localhost',
    '  publicUrl: https://mcp.example.com/base',
    '  tls: {keyFile: 5, clientCertificates: optionl}',
    '  limits: {bodyBytes: 1MB, connections: 0, receiveTimeout: 0s}',
    '  drainTimeout: 30',
    'authenticators:',
    '  corp: {type: jtw}',
    '  none: {type: apiKey, keys: [], sunset: 2026-02-30}',
    '  other: {type: jwt, issuer: "ftp://x", algorithms: [HS256]}',
    'upstreams: {superset: {}}',
    'routes:',
    '  - {path: api, authenticate: 5}',
    '  - {path: /api, authenticate: {anyOf: [{allof: [corp]}, 5]}}',
    '  - {path: /mcp, authenticat: corp, mcp: {audit: {arguments: digst}, denials: 1}}',
    'audit: [stdout]',
    'admin: {listen: 28443}',
  ].join('\n');
  t.same(await linesOf(t.testdir(), yaml), [
    'gateway.yaml:1:10 version: expected 1',
    'gateway.yaml:3:11 server.listen: expected host:port, such as 127.0.0.1:8443',
    'gateway.yaml:4:14 server.publicUrl: expected scheme, host and port only, such as https://mcp.example.com',
    'gateway.yaml:5:8 server.tls.certFile: is required',
    'gateway.yaml:5:18 server.tls.keyFile: expected a string',
    'gateway.yaml:5:41 server.tls.clientCertificates: expected one of "off", "optional", "required" (did you mean "optional"?)',
    'gateway.yaml:6:23 server.limits.bodyBytes: expected a size such as 64KiB or 1MiB',
    'gateway.yaml:6:41 server.limits.connections: expected at least 1',
    'gateway.yaml:6:60 server.limits.receiveTimeout: expected a duration above zero',
    'gateway.yaml:7:17 server.drainTimeout: expected a duration such as 30s, 5m or 24h',
    'gateway.yaml:9:16 authenticators.corp.type: expected one of "jwt", "introspection", "mtls", "apiKey" (did you mean "jwt"?)',
    'gateway.yaml:10:3 authenticators.none: this word has a meaning of its own; take another name',
    'gateway.yaml:11:30 authenticators.other.issuer: expected an http(s) URL without a fragment',
    'gateway.yaml:11:54 authenticators.other.algorithms[0]: expected one of "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA" (did you mean "RS256"?)',
    'gateway.yaml:12:23 upstreams.superset.url: is required',
    'gateway.yaml:14:12 routes[0].path: expected a path such as /mcp or /api/*',
    'gateway.yaml:14:31 routes[0].authenticate: expected a string or a map',
    'gateway.yaml:15:42 routes[1].authenticate.anyOf[0].allof: unknown key "allof" (did you mean "allOf"?)',
    'gateway.yaml:15:58 routes[1].authenticate.anyOf[1]: expected a string or a map',
    'gateway.yaml:16:18 routes[2].authenticat: unknown key "authenticat" (did you mean "authenticate"?)',
    'gateway.yaml:16:62 routes[2].mcp.audit.arguments: expected one of "none", "digest", "full" (did you mean "digest"?)',
    'gateway.yaml:16:79 routes[2].mcp.denials: expected one of "rpc", "http"',
    'gateway.yaml:17:8 audit: expected a map',
    'gateway.yaml:18:17 admin.listen: expected host:port, such as 127.0.0.1:8443',
  ]);
});

t.test('what does not depend on a mistake is checked beside it, at its own place', async (t) => {
  const yaml = fileOf({
    authenticators: '{corp: {type: jwt, issuer: https://idp.example.com/, clockTolerance: soon}}',
    routes:
      '[{path: bad, authenticate: corp}, {path: /b, upstream: supersett, authenticate: corp-oath, rules: [{allow: 1}, {deny: {}}]}]',
  });
  t.same(await linesOf(t.testdir(), yaml), [
    'gateway.yaml:4:86 authenticators.corp.clockTolerance: expected a duration such as 30s, 5m or 24h',
    'gateway.yaml:6:17 routes[0].path: expected a path such as /mcp or /api/*',
    'gateway.yaml:6:64 routes[1].upstream: unknown upstream "supersett" (did you mean "superset"?)',
    'gateway.yaml:6:89 routes[1].authenticate: unknown authenticator "corp-oath"',
    'gateway.yaml:6:116 routes[1].rules[0].allow: expected a map',
    'gateway.yaml:6:127 routes[1].rules[1].deny: needs a selector; what no rule allows is denied anyway',
  ]);
});

t.test('keys and values of later versions are refused by name, and nothing else is said of them', async (t) => {
  const yaml = [
    'version: 1',
    'server: {listen: "127.0.0.1:1", publicUrl: https://a.example, workers: auto}',
    'authenticators: {corp: {type: jwt, issuer: https://idp.example.com/}}',
    'scopeImplies: {a: [b]}',
    'upstreams: {s: {url: "http://127.0.0.1:1"}}',
    'routes:',
    '  - path: /mcp',
    '    upstream: s',
    '    authenticate: corp',
    '    mcp:',
    '      probe: {}',
    '      rules: [{allow: {tools: [a], during: {}}}]',
    'audit: {sinks: [{type: stdout}]}',
  ].join('\n');
  const later = (place: string, path: string, name: string) =>
    `gateway.yaml:${place} ${path}: ${name} is not available yet in this version`;
  t.same(await linesOf(t.testdir(), yaml), [
    later('11:7', 'routes[0].mcp.probe', '"probe"'),
    later('12:36', 'routes[0].mcp.rules[0].allow.during', '"during"'),
  ]);
});

t.test('variables and files are put into strings, and only there', async (t) => {
  const folder = t.testdir();
  const loaded = await loadText(
    folder,
    fileOf({
      upstreams:
        '{superset: {url: "http://127.0.0.1:${env:PORT}", authorization: "Bearer ${file:secrets/token}$${x}$"}}',
    }),
    { env: { PORT: '5008' }, files: { 'secrets/token': 'tok${env:PORT}en\r\n' } },
  );
  t.match(loaded.config.upstreams.superset, {
    url: 'http://127.0.0.1:5008',
    authorization: 'Bearer tok${env:PORT}en${x}$',
  });
  t.same([...loaded.files.keys()], [join(folder, 'secrets/token')]);
});

t.test('a reference that cannot be followed is a problem, and its place is not judged again', async (t) => {
  const yaml = fileOf({
    upstreams:
      '{a: {url: "${env:NOPE}"}, b: {url: "http://127.0.0.1:1", authorization: "${file:nope}"}, c: {url: "${home}"}, d: {url: "http://${env:toString}"}, e: {url: "x${"}}',
    routes: '[{path: /api, upstream: a, authenticate: corp}]',
  });
  const only = 'only ${env:NAME} and ${file:path} are interpolated; write $${ for a literal ${';
  t.same(await linesOf(t.testdir(), yaml, { files: { 'dir/x': '' } }), [
    'gateway.yaml:5:22 upstreams.a.url: the environment variable NOPE is not set',
    'gateway.yaml:5:84 upstreams.b.authorization: cannot read "nope": there is no such file',
    `gateway.yaml:5:110 upstreams.c.url: ${only}`,
    'gateway.yaml:5:131 upstreams.d.url: the environment variable toString is not set',
    `gateway.yaml:5:167 upstreams.e.url: ${only}`,
  ]);
});

t.test('what was interpolated is in no message', async (t) => {
  const secret = 'hunter2-secret';
  const yaml = fileOf({
    server:
      '{listen: "${env:S}", publicUrl: "${env:S}", trustedProxies: ["${env:S}"], allowedOrigins: ["https://${env:S}/x"]}',
    authenticators:
      '{corp: {type: jwt, issuer: "https://${env:S}/", audience: "${env:S}"}, k: {type: apiKey, header: "${env:S}", keysFile: "${env:S}", keys: [{id: "${env:S}", hash: "${env:S}", clientId: c, scopes: ["${env:S} "]}]}}',
    upstreams: '{superset: {url: "http://${env:S}.example", tls: {caFile: "${env:S}"}}}',
    routes:
      '[{path: "/${env:S}", upstream: "${env:S}", authenticate: "${env:S}"}, {path: /b, name: "${env:S}", upstream: superset, authenticate: {anyOf: [corp, k]}, rules: [{allow: {clients: ["${env:S}"], when: "${env:S} =="}}]}, {path: /b, name: "${env:S}", upstream: superset, authenticate: corp}]',
    audit: '{sinks: [{type: "${env:S}"}]}',
  });
  const lines = await linesOf(t.testdir(), yaml, { env: { S: secret } });
  t.ok(lines.length > 10, `${lines.length} problems`);
  t.notMatch(lines.join('\n'), new RegExp(secret));
});

t.test('named files are read once, made absolute, and missing ones are problems', async (t) => {
  const yaml = fileOf({
    upstreams: '{superset: {url: https://s.example, tls: {caFile: ca/none.crt, certFile: folder, keyFile: loop}}}',
    audit: '{sinks: [{type: file, path: audit.jsonl}]}',
  });
  const folder = t.testdir({ folder: {}, loop: t.fixture('symlink', 'loop') });
  t.same(await linesOf(folder, yaml), [
    'gateway.yaml:5:62 upstreams.superset.tls.caFile: cannot read the file: there is no such file',
    'gateway.yaml:5:85 upstreams.superset.tls.certFile: cannot read the file: it is not a regular file',
    'gateway.yaml:5:102 upstreams.superset.tls.keyFile: cannot read the file: too many symbolic links',
  ]);
  const { config } = await loadText(folder, fileOf({ audit: '{sinks: [{type: file, path: audit.jsonl}]}' }));
  t.match(config.audit.sinks, [{ path: join(folder, 'audit.jsonl') }]);
});

t.test('a configuration that cannot be read says so and is no problem of its content', async (t) => {
  for (const name of ['none.yaml', '.']) {
    const error: unknown = await loadConfig(join(t.testdir({}), name), { env: {} }).catch((cause: unknown) => cause);
    t.ok(error instanceof ConfigError && error.unreadable, name);
  }
  const large = await loadText(t.testdir(), `# ${'x'.repeat(1024 * 1024)}`).catch((cause: unknown) => cause);
  t.match(large, { unreadable: true, message: /it is larger than 1 MiB$/ });
});

t.test('the hash is that of the file, what it names and the variables it uses, wherever it lies', async (t) => {
  const yaml = fileOf({ upstreams: '{superset: {url: "http://127.0.0.1:1", authorization: "${env:A} ${file:s}"}}' });
  const hashOf = async (env: NodeJS.ProcessEnv, s: string, text = yaml) =>
    (await loadText(t.testdir(), text, { env, files: { s } })).hash;
  const first = await hashOf({ A: 'one', UNUSED: 'x' }, 'secret');
  t.match(first, /^[0-9a-f]{64}$/);
  t.equal(await hashOf({ A: 'one', UNUSED: 'y' }, 'secret'), first);
  t.not(await hashOf({ A: 'two' }, 'secret'), first);
  t.not(await hashOf({ A: 'one' }, 'other'), first);
  t.not(await hashOf({ A: 'one' }, 'secret', `${yaml}\n`), first);
});

t.test('keysFile is a list of keys, merged behind those of the file, with problems placed in it', async (t) => {
  const hash = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const authenticators = `{corp: {type: apiKey, keysFile: keys/list.yaml, keys: [{id: one, hash: "${hash('sk_11')}", clientId: a, scopes: [], expires: 2027-01-01}]}}`;
  const entry = (id: string, text: string, more = ', expires: 2027-01-01') =>
    `- {id: ${id}, hash: "${hash(text)}", clientId: "\${env:CLIENT}", scopes: []${more}}`;
  const folder = t.testdir();
  const { config, files } = await loadText(folder, fileOf({ authenticators }), {
    env: { CLIENT: 'b' },
    files: {
      'keys/list.yaml': entry('two', 'sk_22')
        .replace('sha256:', 'sha256:')
        .replace(/[0-9a-f]{64}/, (hex) => hex.toUpperCase()),
    },
  });
  t.match(config.authenticators.corp, {
    keys: [
      { id: 'one' },
      { id: 'two', clientId: 'b', hash: hash('sk_22'), expires: Date.UTC(2026, 0, 1) + 365 * dayMs },
    ],
  });
  t.ok(files.has(join(folder, 'keys/list.yaml')));
  const bad = [entry('one', 'sk_33'), entry('""', 'sk_44'), entry('five', 'sk_11'), entry('six', 'sk_66', '')].join(
    '\n',
  );
  t.same(
    await linesOf(t.testdir(), fileOf({ authenticators }), { env: { CLIENT: 'b' }, files: { 'keys/list.yaml': bad } }),
    [
      'keys/list.yaml:1:8 [0].id: key "one" is there already',
      'keys/list.yaml:2:8 [1].id: must not be empty',
      'keys/list.yaml:3:20 [2].hash: is the hash of key "one" already',
      'keys/list.yaml:4:3 [3]: key "six" needs expires, or its authenticator a sunset',
    ],
  );
  const secret = entry('"${env:CLIENT}"', 'sk_77');
  t.same(
    await linesOf(t.testdir(), fileOf({ authenticators }), {
      env: { CLIENT: 'hunter2' },
      files: { 'keys/list.yaml': `${secret}\n${secret.replace(hash('sk_77'), hash('sk_88'))}` },
    }),
    ['keys/list.yaml:2:8 [1].id: key the interpolated value is there already'],
    'what was put into a keys file is in no message',
  );
  t.same(await linesOf(t.testdir(), fileOf({ authenticators }), { files: { 'keys/list.yaml': 'a: [' } }), [
    'keys/list.yaml:1:5 not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ]);
});
