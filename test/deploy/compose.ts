// The compose file, held against the Compose Specification, the files it names, and what it promises about the gateway.
import { strict as assert } from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { duration } from '../../src/config/schema/values.ts';
import { checkConfiguration } from './configuration.ts';
import { deployTools, root } from './tools.ts';

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly network_mode?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly host_ip?: string }[];
  readonly networks?: Readonly<
    Record<string, { readonly aliases?: readonly string[]; readonly ipv4_address?: string } | null>
  >;
  readonly volumes?: readonly { readonly type: string; readonly source: string }[];
}

const folder = join(root, 'deploy/compose');
/** Made by whoever starts it. */
const own = [join(folder, 'tls')];

export async function checkCompose(): Promise<void> {
  const read = deployTools();
  const example = readFileSync(join(folder, 'env.example'), 'utf8');
  const variables = [...example.matchAll(/^([A-Z_]+)=$/gm)].map(([, name]) => name!);
  const env = { PATH: process.env.PATH, ...Object.fromEntries(variables.map((name) => [name, `a-${name}`])) };
  const file = join(folder, 'compose.yaml');
  const { services } = read('compose', [file], { env }) as { services: Readonly<Record<string, Service>> };
  for (const name of variables) {
    assert.throws(() => read('compose', [file], { env: { ...env, [name]: '' } }), /is missing in \.env/, name);
  }
  checkSuperset(read, services['superset-mcp']!);
  for (const [name, service] of Object.entries(services)) checkService(name, service);

  const gateway = services.gateway!;
  assert.equal(gateway.read_only, true);
  assert.deepEqual(gateway.cap_drop, ['ALL']);
  assert.equal(services['superset-mcp']!.network_mode, 'service:gateway', 'the upstream is on its loopback only');
  const yaml = readFileSync(join(folder, 'gateway.yaml'), 'utf8');
  await checkConfiguration(yaml, { publicName: 'localhost' });
  const { server, admin } = parse(yaml) as { server: { drainTimeout?: string }; admin: { listen: string } };
  assert.ok(
    duration.parse(gateway.stop_grace_period!) > duration.parse(server.drainTimeout ?? '30s'),
    'stop_grace_period is longer than drainTimeout',
  );
  assert.ok(gateway.networks!.monitoring!.aliases!.includes(admin.listen.split(':')[0]!));
  await checkReplicas(read);
  assert.match(readFileSync(join(root, 'deploy/prometheus/prometheus.yml'), 'utf8'), new RegExp(`"${admin.listen}"`));
}

/** Three replicas that differ in their number alone, behind an nginx that knows their addresses, with what they share. */
async function checkReplicas(read: ReturnType<typeof deployTools>): Promise<void> {
  const at = (name: string) => join(folder, 'replicas', name);
  const env = { PATH: process.env.PATH, REDIS_PASSWORD: 'a-password' };
  const { services } = read('compose', [at('compose.yaml')], { env }) as {
    services: Readonly<Record<string, Service>>;
  };
  assert.throws(
    () => read('compose', [at('compose.yaml')], { env: { ...env, REDIS_PASSWORD: '' } }),
    /is missing in \.env/,
  );
  for (const [name, service] of Object.entries(services)) {
    checkService(name, service, ['tls', 'keys'].map(at));
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ['ALL'], name);
  }
  const replicas = ['1', '2', '3'].map((number) => services[`gateway-${number}`]!);
  assert.deepEqual(
    replicas.map(({ environment }) => environment!.REPLICA),
    ['1', '2', '3'],
  );
  const addresses = [...readFileSync(at('nginx.conf'), 'utf8').matchAll(/server (\S+):8443/g)].map(([, host]) => host);
  assert.deepEqual(
    replicas.map(({ networks }) => networks!.default!.ipv4_address),
    addresses,
  );
  const yaml = readFileSync(at('gateway.yaml'), 'utf8');
  await checkConfiguration(yaml, { env: { ...env, REPLICA: '1' } });
  const { server, state } = parse(yaml) as { server: { drainTimeout: string }; state: { redis: { url: string } } };
  assert.ok(new URL(state.redis.url).hostname in services);
  for (const { stop_grace_period } of replicas)
    assert.ok(duration.parse(stop_grace_period!) > duration.parse(server.drainTimeout));
}

/** What its Dockerfile copies is there, and so is every variable that its configuration asks for. */
function checkSuperset(read: ReturnType<typeof deployTools>, service: Service): void {
  const stages = read('dockerfile', [join(folder, 'superset.Dockerfile')]) as {
    Steps: { Instruction: string; Words?: string[] }[];
  }[];
  const copies = stages[0]!.Steps.filter(({ Instruction }) => Instruction === 'COPY');
  const sources = copies.flatMap(({ Words = [] }) => Words.slice(0, -1));
  assert.ok(sources.length > 0);
  for (const source of sources) assert.ok(existsSync(join(root, 'deploy', source)), `COPY ${source}`);
  const configuration = readFileSync(join(root, 'deploy/superset/superset_config.py'), 'utf8');
  for (const [, name] of configuration.matchAll(/environ\["(\w+)"\]/g)) {
    assert.ok(service.environment?.[name!], `superset_config.py needs ${name}`);
  }
}

/** Pinned, without new privileges, on loopback of the host only, and everything it mounts is there. */
function checkService(name: string, service: Service, made = own): void {
  assert.match(service.image, /:(?!latest$)[\w.-]+$/, `${name}: the image has a tag`);
  assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
  for (const { host_ip } of service.ports ?? []) assert.equal(host_ip, '127.0.0.1', name);
  if (service.build !== undefined) {
    assert.ok(existsSync(join(service.build.context, service.build.dockerfile)), `${name}: its Dockerfile`);
  }
  for (const { type, source } of service.volumes ?? []) {
    if (type === 'bind' && !made.includes(source)) assert.ok(existsSync(source), `${name} mounts ${source}`);
  }
}
