// Weight of the pages of a configuration with hundreds of each thing: they stay below 100 KB and lead to all of it.
import t, { type Test } from 'tap';
import type { PageRequest, Viewer } from '../../src/console/page.ts';
import type { StreamFacts, StreamsFacts } from '../../src/console/streams/facts.ts';
import { streams } from '../../src/console/streams/page.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { hashOf, yamlOf } from '../support/configuration.ts';
import { textOf } from '../support/console.ts';
import { createScale, linksIn } from '../support/page-weight.ts';
import { startScenario } from '../support/scenario.ts';

const each = <T>(count: number, of: (index: number) => T) => Array.from({ length: count }, (_, index) => of(index));
const named = (names: readonly string[], of: (index: number) => Readonly<Record<string, unknown>>) =>
  Object.fromEntries(names.map((name, index) => [name, of(index)]));
/** A name of an ordinary length. */
const nameOf = (kind: string, index: number) => `${kind}-${index}-of-the-division-of-business-analytics`;
const names = (kind: string, count: number) => each(count, (index) => nameOf(kind, index));
const soon = new Date(Date.now() + 5 * 86_400_000).toISOString();
/** A list of its own, as YAML has aliases for what stands twice. */
const scopesOf = () => each(5, (index) => `scope-${index}:read`);
const closed = 'http://127.0.0.1:9';

const keysOf = (kind: number) =>
  each(100, (index) => ({
    ...{ id: `key-${kind}-${index}`, hash: hashOf(`${kind} ${index}`) },
    ...{ clientId: `client-${kind}-${index}`, scopes: ['a:b'], expires: soon },
  }));
const authenticators = {
  ...named(names('jwt', 20), (index) => ({
    type: 'jwt',
    issuer: `${closed}/${nameOf('issuer', index)}`,
    insecure: true,
  })),
  ...named(names('opaque', 20), (index) => ({
    ...{ type: 'introspection', issuer: `${closed}/i/${nameOf('issuer', index)}`, endpoint: `${closed}/e/${index}` },
    ...{ insecure: true, clientId: 'gateway', clientSecret: 'secret' },
  })),
  ...named(names('keys', 10), (index) => ({
    ...{ type: 'apiKey', prefix: `k${index}_`, header: `x-key-${index}`, keys: keysOf(index) },
    ...{ migrationGuide: `https://wiki.example.com/${nameOf('keys', index)}`, sunset: '2099-01-01' },
  })),
  ...named(names('mtls', 10), (index) => ({
    type: 'mtls',
    allow: each(100, (entry) => ({
      commonName: nameOf(`cn-${index}`, entry),
      clientId: `client-${entry}`,
      scopes: scopesOf(),
    })),
  })),
};
const upstreams = named(names('upstream', 100), (index) => ({ url: `${closed}/${nameOf('upstream', index)}` }));
const ruled = (index: number) => ({
  rules: [{ allow: { tools: [`tool-${index}-*`] }, require: { scopes: scopesOf() } }],
});
const routes = each(400, (index) => ({
  ...{ name: nameOf('route', index), path: index % 2 === 0 ? `/mcp/${index}` : `/api/${index}/*` },
  ...{ upstream: nameOf('upstream', index % 100), authenticate: { anyOf: names('jwt', 4) } },
  ...(index % 2 === 0 ? { mcp: ruled(index) } : { scopes: scopesOf() }),
}));
const allRoutes = names('route', 400);
const leadsTo = (t: Test, text: string, wanted: readonly string[]) =>
  t.same(
    wanted.filter((each) => !text.includes(`${each}<`)),
    [],
    'none is left out',
  );

t.test('pages of hundreds of routes, upstreams, authenticators, keys, certificates and revocations', async (t) => {
  const certificates = await createTestCertificates();
  const files = {
    'revoked.yaml': yamlOf({ jti: names('token', 2000) }),
    'catalog.json': JSON.stringify({
      ...{ format: 'portcullis-catalog-1', protocolVersion: '2025-11-25', server: { name: 'demo', version: '1' } },
      ...{ tools: names('tool', 500).map((name) => ({ name })), resources: [], resourceTemplates: [], prompts: [] },
    }),
  };
  const rules = [{ allow: { tools: ['list_dashboards'] } }];
  const { admin, agent } = await startScenario(
    t,
    {
      ...{ authenticators, upstreams, revocation: { file: 'revoked.yaml' } },
      routes: [...routes, { path: '/last', authenticate: 'corp', mcp: { rules, catalog: { file: 'catalog.json' } } }],
      audit: {
        sinks: each(30, (index) => ({ type: 'file', path: `${nameOf('audit', index)}.jsonl`, fsync: 'never' })),
      },
    },
    { files, tls: certificates },
  );
  const weigh = createScale(admin);
  const call = await agent.call('list_dashboards', {}, { path: '/last' });
  t.equal(call.status, 200);
  /** The text of a page and of all that its links to further parts lead to. */
  const walk = async (t: Test, path: string) => {
    const paths = new Set([path]);
    let all = '';
    for (const each of paths) {
      const text = await weigh(t, each);
      for (const next of linksIn(text, ' rel="next"')) paths.add(next);
      all += text;
    }
    return all;
  };
  const keyIds = each(1000, (index) => `key-${Math.floor(index / 100)}-${index % 100}`);

  t.test('the overview has all matters and all of the health', async (t) => {
    const text = await walk(t, '/');
    t.match(text, /And \d+ more: act now on/);
    leadsTo(t, text, [
      ...names('issuer', 20).map((name) => `${closed}/${name}`),
      ...names('upstream', 100),
      ...keyIds.map(
        (id) => `The API key ${id} of client${id.slice('key'.length)} ends, and was not used since the start`,
      ),
    ]);
  });

  t.test('the rules are those of all routes, and a route can be asked for by its name', async (t) => {
    leadsTo(t, await walk(t, '/policy'), allRoutes);
    for (const name of allRoutes.slice(-2)) {
      const text = await weigh(t, `/policy?${new URLSearchParams({ route: name })}`);
      t.match(text, `<h2>${name} `);
      t.match(text, /<label>Route<input name="route" [^>]*list="offers-route"/);
    }
  });

  t.test('an explanation goes by a route and an authenticator that the form has no room to offer', async (t) => {
    const asked = { view: 'explain', kind: 'tool', tool: 'tool-398-x', route: nameOf('route', 398), client: 'one' };
    const text = await weigh(t, `/policy?${new URLSearchParams({ ...asked, authenticator: nameOf('jwt', 3) })}`);
    t.match(text, 'id="answer"');
    t.match(text, /\d+ more routes did not match/);
    t.match(text, /<label for="field-route">MCP route<\/label><input name="route" value="route-398-/);
    await weigh(t, '/policy?view=explain');
    for (const wrong of ['route=nowhere', 'authenticator=nobody', 'key=none', 'certificate=none', ''])
      t.match(await weigh(t, `/policy?view=explain&kind=tool&client=one&tool=x&${wrong}`), 'cannot be explained');
    await weigh(t, '/policy?view=explain&kind=path&method=GET&path=%2Fapi%2F399%2Fx&client=one');
    t.match(await weigh(t, `/decisions/${call.id}?under=file`), /\d+ more routes did not match/);
  });

  t.test('the credentials are all there', async (t) => {
    leadsTo(t, await walk(t, '/credentials'), [
      ...keyIds,
      ...names('keys', 10),
      ...each(10, (index) => names(`cn-${index}`, 100)).flat(),
      ...names('issuer', 20).map((name) => `${closed}/i/${name}`),
      ...names('token', 2000),
    ]);
  });

  t.test('each endpoint is there, and one can be asked for', async (t) => {
    const endpoints = allRoutes.filter((_, index) => index % 2 === 0);
    leadsTo(t, await walk(t, '/connect'), endpoints);
    const query = new URLSearchParams({ route: endpoints.at(-1)! });
    t.match(await weigh(t, `/connect?${query}`), `<h2>${endpoints.at(-1)}</h2>`);
    t.match(await weigh(t, '/connect?check=%2Flast'), 'What a client sees at');
  });

  await walk(t, '/decisions');
  await walk(t, '/streams');
});

t.test('streams of callers with long names, beside hundreds of revocations and routes', async (t) => {
  const stream = (index: number): StreamFacts => ({
    ...{ id: `stream-${index}`, route: nameOf('route', index), kind: 'listening', client: '"'.repeat(5000) },
    ...{ subject: '='.repeat(5000), credential: { kind: 'oauth', authenticator: 'corp', id: '&'.repeat(5000) } },
    ...{ certificate: 'c'.repeat(64), address: '127.0.0.1', since: 0, bytes: 5, end: { at: 9e12, why: 'token' } },
    ...{ isEnding: false, session: `session-${index}` },
  });
  const facts: StreamsFacts = {
    ...{ open: 900, matching: 900, streams: each(50, stream), hasSharedState: true },
    sessions: each(50, (index) => ({
      mark: `m-${index}`,
      route: 'r',
      client: '"'.repeat(5000),
      subject: '=',
      streams: 1,
    })),
    routes: allRoutes.map((name) => ({ name, issuesSessions: true })),
    revocations: each(1000, (index) => ({
      ...{ kind: 'api-key' as const, authenticator: 'keys', id: `revoked-${index}`, until: 9e12, by: 'somebody' },
    })),
  };
  const source = { streams: async () => facts, stream: async () => stream(0) } as unknown as PageRequest['source'];
  const of = { source, worker: undefined, processes: [], params: {}, now: 0 };
  const operator = { name: 'somebody' } as unknown as Viewer['operator'];
  const render = async (query: string) => {
    const viewer = { name: 'somebody', csrfToken: 'token', operator };
    const { body } = await streams.render({ ...of, query: new URLSearchParams(query), viewer });
    const bytes = Buffer.byteLength(textOf(body));
    t.ok(bytes < 80_000, `${query}: ${bytes} bytes`);
    return textOf(body);
  };
  const text = await render('stream=stream-0');
  t.match(text, /900 open; \d+ are left out/);
  const paths = new Set(linksIn(text, ' rel="next"'));
  let all = text;
  for (const path of paths) {
    const part = await render(path.replace('/streams?', ''));
    for (const next of linksIn(part, ' rel="next"')) paths.add(next);
    all += part;
  }
  leadsTo(t, all, [...allRoutes, ...facts.revocations.map(({ id }) => id)]);
});

t.test('matrix of hundreds of routes', async (t) => {
  const { admin } = await startScenario(
    t,
    {
      authenticators: { keys: { type: 'apiKey', keys: keysOf(0).slice(0, 10) } },
      routes: routes.map((route) => ({ ...route, upstream: 'superset', authenticate: { anyOf: ['corp', 'keys'] } })),
    },
    { inject: true },
  );
  const weigh = createScale(admin);
  let paths = ['/policy?view=who-can'];
  for (let depth = 0; depth < 3; depth += 1) {
    const texts = await Promise.all(paths.map((path) => weigh(t, path)));
    paths = [...new Set(texts.flatMap((text) => linksIn(text, ' rel="next"')))];
    t.ok(paths.length > 0);
  }
});
