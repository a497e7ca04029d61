// Scenes of the pages: what a page takes for granted, and the blocks that no test can run as they stand.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { exampleFiles, withoutRequire } from '../config/example-files.ts';
import { writeFiles } from '../config/support.ts';
import { apiKey, hashOf } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startUpstream } from '../support/upstream.ts';
import { blocksOf } from './blocks.ts';

export interface Scene {
  readonly env?: Readonly<Record<string, string>>;
  /** Scripts that run before a block, by its first line: what happened meanwhile. */
  readonly before?: Readonly<Record<string, string>>;
  /** Beginnings of lines that have to end with 1. */
  readonly no?: readonly string[];
  readonly close?: () => Promise<void>;
}

const root = join(import.meta.dirname, '../..');
const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');

/** Paths of the machine become those of the scratch folder. */
export const paths: readonly (readonly [of: string, inFolder: string])[] = [['/var/log/portcullis/', 'log/']];

/** By page: makes the files and the processes that the page speaks of. */
export const scenes: Readonly<Record<string, (folder: string) => Promise<Scene>>> = {
  'README.md': async (folder) => {
    const yaml = blocksOf('README.md').find(({ language }) => language === 'yaml')!.text;
    return running(folder, (ports) => withPorts(yaml, ports));
  },
  'docs/answer-the-auditor.md': async (folder) => {
    const scene = await running(folder, recording);
    const collected = [1, 2, 3].map((n) => `collect gw-${n}`).join('\n');
    const first = 'portcullis audit verify --key audit.pub.pem \\';
    return { ...scene, before: { [first]: `${collectFunction}${collected}\n${expectedHead}` } };
  },
  'docs/change-a-policy.md': async (folder) => {
    writeFiles(folder, { ...(await exampleFiles(Date.now())), 'gateway.yaml': example, 'audit.jsonl': '' });
    return {
      before: {
        'portcullis diff gateway.yaml next.yaml --fail-on widened': `cat > next.yaml <<'END'\n${withoutRequire(example)}END`,
      },
      no: ['portcullis explain', 'portcullis diff'],
    };
  },
  'docs/configuration.md': async () => ({}),
  'docs/deploy.md': async () => ({}),
  'docs/migrate-from-keys.md': async (folder) => {
    const scene = await running(folder, recording);
    const first = 'portcullis keys report -c gateway.yaml /var/log/portcullis/audit*.jsonl';
    writeFiles(folder, { ...(await exampleFiles(Date.now())) });
    return {
      ...scene,
      before: { [first]: `${collectFunction}collect log\ncat > gateway.yaml <<'END'\n${example}END` },
    };
  },
  'docs/operations.md': async (folder) => {
    const scene = await running(folder, (ports) => recording(ports).replace('GW/', 'log/'));
    const explain = "portcullis explain -c gateway.yaml --as '{client: analytics_frontend, scopes: [dashboards:read]}'";
    // The page has revoked the key's client by then.
    return { ...scene, before: { [`${explain} --tool execute_sql`]: "echo '{}' > revoked.yaml" }, no: [explain] };
  },
  'docs/review-access.md': async (folder) => {
    writeFiles(folder, {
      ...(await exampleFiles(Date.now())),
      'gateway.example.yaml': example,
      'gateway.yaml': example,
      'next.yaml': withoutRequire(example),
    });
    const commit = 'git -c user.name=t -c user.email=t@example.com commit -q --allow-empty -m first';
    return {
      before: {
        'git show origin/main:gateway.yaml > before.yaml': `git init -q && git add gateway.yaml && ${commit} && git update-ref refs/remotes/origin/main HEAD && cp next.yaml gateway.yaml`,
      },
      no: ['portcullis diff'],
    };
  },
  'docs/ship-to-a-siem.md': async (folder) => {
    const scene = await running(folder, recording);
    const hits = `jq -c '{_source: {event: {original: tojson}}}' log/audit.jsonl > /dev/null; jq -cR '{_source: {event: {original: .}}}' log/audit.jsonl | sed 'p' > export.ndjson`;
    const first = '# Elasticsearch: hits of a search for one service.node.name, as JSON lines';
    return { ...scene, before: { [first]: `${collectFunction}collect log\n${hits}` } };
  },
};

/** Blocks that need what a test machine does not have, by page and the beginning of their first line: why, and the test that holds what they do. */
export const elsewhere: readonly (readonly [page: string, firstLine: string, why: string, heldBy: string])[] = [
  ['README.md', 'npm ci', 'installs, and stays in the foreground', 'npm run smoke'],
  [
    'docs/deploy.md',
    'docker build -f deploy/Dockerfile --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t registry.example.com/portcullis:0.1.0 .',
    'docker',
    'test/deploy/image.ts',
  ],
  ['docs/deploy.md', 'cd deploy/compose', 'docker', 'test/deploy/compose.ts'],
  ['docs/deploy.md', '. ./.env', 'the containers of the block before it', 'test/deploy/compose.ts'],
  ['docs/deploy.md', 'cd deploy/compose/replicas', 'docker', 'test/deploy/compose.ts'],
  ['docs/deploy.md', 'npm ci && npm run build && npm prune', 'systemd', 'test/deploy/systemd.ts'],
  [
    'docs/deploy.md',
    'helm template portcullis deploy/helm/portcullis -n portcullis -f values.yaml | yq \'select(.kind == "ConfigMap") | .data."gateway.yaml"\' > gateway.yaml',
    'Helm and a cluster',
    'test/deploy/kubernetes.ts',
  ],
  [
    'docs/performance.md',
    'npm run bench                                    # calls and paths',
    'hours of measuring',
    'test/reliability/bench.test.ts',
  ],
  ['docs/release.md', 'npm ci', 'a release', 'test/package/run.ts'],
  [
    'docs/release.md',
    'npm audit signatures       # in a folder where the package is installed: signatures of the registry and provenance of each package',
    'a published package',
    'test/package/run.ts',
  ],
  ['docs/release.md', 'npx -p node@24 -p mcp-portcullis portcullis dev', 'a published package', 'test/package/run.ts'],
  [
    'docs/superset.md',
    'git clone … portcullis && cd portcullis && npm ci && npm run build && cd ..',
    'Superset',
    'test/e2e/superset/run.ts',
  ],
  ['docs/superset.md', 'cp portcullis/deploy/superset/*.py .', 'Superset', 'test/e2e/superset/run.ts'],
  ['docs/superset.md', "cat > gateway.yaml <<'END'", 'Superset', 'test/e2e/superset/run.ts'],
  [
    'docs/superset.md',
    'npx --prefix portcullis portcullis serve -c gateway.yaml &',
    'Superset',
    'test/e2e/superset/run.ts',
  ],
  [
    'docs/superset.md',
    'portcullis catalog -c gateway.yaml --route superset-mcp --check --out superset-6.1.0.catalog.json',
    'Superset',
    'test/cli/catalog.test.ts',
  ],
  [
    'docs/superset.md',
    'portcullis catalog -c gateway.yaml --route superset-mcp --out superset-tools.json',
    'Superset',
    'test/cli/catalog.test.ts',
  ],
  [
    'docs/upgrade.md',
    'install -d /opt/portcullis/0.1.0 /etc/portcullis/tls && cp -r dist node_modules package.json /opt/portcullis/0.1.0/',
    'systemd',
    'test/deploy/systemd.ts',
  ],
  ['docs/upgrade.md', 'ln -sfn 0.2.0 /opt/portcullis/current', 'systemd', 'test/deploy/systemd.ts'],
  ['docs/upgrade.md', 'cd deploy/compose/replicas', 'docker', 'test/deploy/compose.ts'],
];

interface Ports {
  readonly port: number;
  readonly admin: number;
  readonly issuer: string;
  readonly upstream: string;
}

/** An issuer and an upstream that run, certificates, and a gateway.yaml made for them, which nobody serves yet. */
async function running(folder: string, yaml: (ports: Ports) => string): Promise<Scene> {
  const [issuer, upstream, port, admin] = [
    await createFakeIssuer(),
    await startUpstream(),
    await freePort(),
    await freePort(),
  ];
  const authority = await createCertificateAuthority();
  const server = await authority.issue({ commonName: 'mcp.example.com', dnsNames: ['mcp.example.com'], server: true });
  const client = await authority.issue({ commonName: 'client-ai-agent-1' });
  const token = await issuer.token({ aud: ['https://mcp.example.com/mcp'], scope: 'dashboards:read queries:execute' });
  writeFiles(folder, {
    'gateway.yaml': yaml({ port, admin, issuer: issuer.issuer, upstream: upstream.url }),
    'tls.crt': server.certificatePem,
    'tls.key': server.keyPem,
    'ca.crt': authority.certificatePem,
    'client.crt': client.certificatePem,
    'token.txt': token,
    'key.txt': apiKey,
    'revoked.yaml': '{}\n',
    'message.json': JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'list_dashboards', arguments: { request: {} } },
    }),
    '.curlrc': `connect-to = "mcp.example.com:443:127.0.0.1:${port}"\ncacert = "${join(folder, 'ca.crt')}"\n`,
  });
  const close = async () => {
    await Promise.all([issuer.close(), upstream.close()]);
  };
  return { env: { ADMIN: `127.0.0.1:${admin}`, ISSUER: issuer.issuer, target: 'superset://x' }, close };
}

function withPorts(yaml: string, { port, admin, issuer, upstream }: Ports): string {
  const own = yaml
    .replace('0.0.0.0:8443', `127.0.0.1:${port}`)
    .replace('https://idp.example.com/', issuer)
    .replace('http://127.0.0.1:5008', upstream);
  return `${own}admin: {listen: "127.0.0.1:${admin}"}\n`;
}

/** A gateway whose records, signed where there is a key, are in the folder GW. */
function recording(ports: Ports): string {
  return withPorts(
    `version: 1
server: {listen: 0.0.0.0:8443, publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: optional, clientCaFile: ca.crt}}
authenticators:
  corp: {type: jwt, issuer: https://idp.example.com/}
  workloads: {type: mtls, allow: [{commonName: client-ai-agent-1, clientId: ai_agent_prod}]}
  legacy-keys:
    type: apiKey
    keys: [{id: reporting-tool-1, hash: "${hashOf(apiKey)}", clientId: reporting_tool, scopes: ["dashboards:read"], expires: 2999-01-01}]
revocation: {file: revoked.yaml}
upstreams: {superset: {url: http://127.0.0.1:5008}}
routes:
  - {path: /mcp, upstream: superset, authenticate: {anyOf: [corp, legacy-keys], optional: [workloads]}, mcp: {preset: superset}}
  - {path: /api/dashboards, upstream: superset, authenticate: {anyOf: [corp, legacy-keys]}, scopes: ["dashboards:read"]}
audit: {sinks: [{type: file, path: GW/audit.jsonl}]}
`,
    ports,
  );
}

/** A run of a gateway that records into a folder: one refused request, and a stop. */
const collectFunction = `collect() {
  mkdir -p "$1"
  sed "s#GW/#$1/#" gateway.yaml > "$1.yaml"
  if [ -e secrets/audit.pem ]; then sed -i "s#^audit: {#audit: {sign: {keyFile: secrets/audit.pem, stateFile: $1/audit.head}, #" "$1.yaml"; fi
  portcullis serve -c "$1.yaml"
  curl -s https://mcp.example.com/mcp > /dev/null
  kill "$(cat serve.pid)"
  while kill -0 "$(cat serve.pid)" 2> /dev/null; do sleep 0.1; done
}
`;

const expectedHead = `HEAD=$(jq -r 'select(.stage == "head") | .detail | "\\(.seq):\\(.hash)"' gw-1/audit.jsonl | tail -1)`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
