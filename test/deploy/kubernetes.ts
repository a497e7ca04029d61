// Manifests and chart: Helm lints and renders, the types of Kubernetes, cert-manager and the Prometheus operator decode strictly, and what
// the manifests promise is looked up in what was decoded.
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { duration } from '../../src/config/schema/values.ts';
import { checkConfiguration } from './configuration.ts';
import { checkSecretSwap } from './secret-swap.ts';
import { deployTools, helm, root, run } from './tools.ts';

interface Container {
  readonly name: string;
  readonly command?: readonly string[];
  readonly restartPolicy?: string;
  readonly securityContext: {
    readonly [name: string]: unknown;
    readonly capabilities: { readonly drop: readonly string[] };
  };
  readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly startupProbe?: { readonly httpGet: { readonly path: string } };
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: { readonly spec: Pod };
    readonly minReplicas?: number;
    readonly metrics?: readonly { readonly pods?: { readonly metric: { readonly name: string } } }[];
    readonly egress?: readonly { readonly to?: readonly { readonly podSelector?: unknown }[] }[];
    readonly podSelector: unknown;
    readonly selector: { readonly matchLabels: unknown };
    readonly ports: readonly { readonly targetPort: string }[];
    readonly ingress: readonly { readonly ports: readonly { readonly port: string }[]; readonly from?: unknown[] }[];
  };
}

const chart = join(root, 'deploy/helm/portcullis');
const rendered = join(root, 'deploy/kubernetes/edge/portcullis.yaml');
const heading = `# The gateway at the edge, rendered from deploy/helm/portcullis with ci/edge.yaml: for those who use no Helm. Change it there.
# Apply it in a namespace of its own, with the label pod-security.kubernetes.io/enforce: restricted.
`;

/** What the chart does not render: it would start, and then go wrong. */
const refusals: readonly (readonly [string, RegExp])[] = [
  ['config.server.drainTimeout="60s"', /must be more than preStopSeconds and config\.server\.drainTimeout/],
  ['config.server.drainTimeout="1m"', /must be more than preStopSeconds and config\.server\.drainTimeout/],
  ['preStopSeconds=15', /must be more than preStopSeconds and config\.server\.drainTimeout/],
  ['valkey.certificate.issuerRef.name=""', /valkey\.certificate\.issuerRef\.name is missing/],
  ['config.upstreams.superset-mcp.identity.assertion.keyFiles=null', /a key of its own/],
  ['config.routes[0].mcp.sessionKeyFiles=null', /needs mcp\.sessionKeyFiles/],
  ['config.server=null', /config is missing/],
  ['replica=2', /replica/],
  ['service.type="Ingress"', /service.*type/],
  ['tls.certificate.issuerRef.name=""', /issuerRef\.name is missing/],
];
const env = { POD_IP: '10.0.0.7', UPSTREAM_TOKEN: 'a-token' };

export async function checkKubernetes(): Promise<void> {
  const read = deployTools();
  const sidecar = read('manifests', ['deploy/kubernetes/sidecar/superset-mcp.yaml']) as Manifest[];
  const pod = await checkManifests(sidecar);
  assert.equal(pod.initContainers?.[0]?.restartPolicy, 'Always', 'the gateway is a native sidecar');
  // Whether it is ready depends on the upstream, which starts after it.
  assert.equal(pod.initContainers[0].startupProbe?.httpGet.path, '/livez');
  const command = pod.containers[0]!.command!;
  assert.equal(command[command.indexOf('--host') + 1], '127.0.0.1', 'the upstream is on loopback only');
  const refused = join(root, 'test/deploy/unknown-field.yaml');
  assert.throws(() => read('manifests', [refused]), /unknown field "spec\.replica"/, 'strictness is real');
}

/** `UPDATE=1` writes the edge's manifests anew. */
export async function checkHelm(): Promise<void> {
  const read = deployTools();
  const program = helm();
  for (const name of readdirSync(join(chart, 'ci')).sort()) {
    const values = ['-f', join(chart, 'ci', name)];
    run(program, ['lint', '--strict', '--quiet', chart, ...values]);
    const text = render(program, values);
    const manifests = read('manifests', ['-'], { input: text }) as Manifest[];
    await checkManifests(manifests);
    if (name === 'minimal.yaml') await checkSecretSwap(configurationIn(manifests));
    if (name !== 'edge.yaml') continue;
    checkReplicas(manifests);
    const whole = `${heading}${text}`;
    if (process.env.UPDATE === '1') writeFileSync(rendered, whole);
    assert.equal(readFileSync(rendered, 'utf8'), whole, 'the edge is what the chart renders; UPDATE=1 renews it');
  }
  for (const [value, message] of refusals) {
    const values = ['-f', join(chart, 'ci/edge.yaml'), '--set-json', value];
    assert.throws(() => render(program, values), message, value);
  }
}

function render(program: string, values: readonly string[]): string {
  const where = ['template', 'portcullis', chart, '--namespace', 'portcullis', '--kube-version', '1.34.0'];
  return run(program, [...where, ...values]);
}

function configurationIn(manifests: readonly Manifest[]): string {
  return manifests.find(({ kind }) => kind === 'ConfigMap')!.data!['gateway.yaml']!;
}

/** Three replicas share keys and a Valkey that nobody else reaches, and are scaled by their streams, too. */
function checkReplicas(manifests: readonly Manifest[]): void {
  const of = (kind: string): Manifest[] => manifests.filter((manifest) => manifest.kind === kind);
  const [scaler] = of('HorizontalPodAutoscaler');
  assert.equal(scaler!.spec.minReplicas, 3);
  assert.deepEqual(
    scaler!.spec.metrics!.map(({ pods }) => pods?.metric.name),
    [undefined, 'portcullis_active_streams'],
  );
  const { state } = parse(configurationIn(manifests)) as { state: { redis: { url: string } } };
  const [own, valkeys] = of('NetworkPolicy').map(({ spec }) => spec);
  assert.deepEqual(valkeys!.podSelector, of('StatefulSet')[0]!.spec.selector);
  assert.deepEqual(
    valkeys!.ingress.map(({ from }) => from),
    [[{ podSelector: own!.podSelector }]],
  );
  assert.ok(own!.egress!.some(({ to }) => isDeepStrictEqual(to, [{ podSelector: valkeys!.podSelector }])));
  const service = manifests.find(({ kind, metadata }) => kind === 'Service' && metadata.name.endsWith('-valkey'))!;
  assert.equal(new URL(state.redis.url).hostname, service.metadata.name);
  const [valkey] = of('StatefulSet')[0]!.spec.template.spec.containers;
  assert.equal(valkey!.securityContext.readOnlyRootFilesystem, true);
  assert.deepEqual(valkey!.securityContext.capabilities.drop, ['ALL']);
}

/** The gateway's pod is as restricted as it can be, its probes and periods fit, and its configuration has no problem and no warning. */
async function checkManifests(manifests: readonly Manifest[]): Promise<Pod> {
  const of = (kind: string): Manifest => manifests.find((manifest) => manifest.kind === kind)!;
  const yaml = configurationIn(manifests);
  await checkConfiguration(yaml, { env });
  const { spec: pod } = of('Deployment').spec.template;
  const gateway = [...(pod.initContainers ?? []), ...pod.containers].find(({ name }) => name === 'portcullis')!;
  assert.equal(pod.automountServiceAccountToken, false);
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.deepEqual(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' });
  assert.equal(gateway.securityContext.readOnlyRootFilesystem, true);
  for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
    assert.equal(container.securityContext.allowPrivilegeEscalation, false, container.name);
    assert.deepEqual(container.securityContext.capabilities.drop, ['ALL'], container.name);
  }
  assert.deepEqual(gateway.livenessProbe.httpGet, { path: '/livez', port: 'admin' });
  assert.deepEqual(gateway.readinessProbe.httpGet, { path: '/readyz', port: 'admin' });
  for (const { name, subPath } of gateway.volumeMounts) {
    assert.equal(subPath, undefined, `${name}: a file that is mounted by itself is never replaced`);
    assert.ok(
      pod.volumes.some((volume) => volume.name === name),
      `${name} is a volume`,
    );
  }
  const { server } = parse(yaml) as { server: { drainTimeout?: string } };
  const sleep = Math.max(...pod.containers.map(({ lifecycle }) => lifecycle?.preStop.sleep.seconds ?? 0));
  const needed = sleep * 1000 + duration.parse(server.drainTimeout ?? '30s');
  assert.ok(pod.terminationGracePeriodSeconds * 1000 > needed, 'the pod is given the time to drain');

  const policy = of('NetworkPolicy').spec;
  assert.deepEqual(policy.podSelector, of('Deployment').spec.selector);
  assert.deepEqual(
    policy.ingress.map(({ ports, from }) => [ports[0]!.port, from === undefined]),
    [
      ['https', policy.ingress[0]!.from === undefined],
      ['admin', false],
    ],
    'the admin port is for some only',
  );
  for (const { targetPort } of of('Service').spec.ports)
    assert.equal(targetPort, 'https', 'no service has the admin port');
  return pod;
}
