// CPU time per request and throughput: the gateway against the bare, unauthenticated @fastify/http-proxy and against plain node:https + undici,
// in one run. Both sides TLS, keep-alive, 16 connections, 1 KiB each way, medians over the rounds. With --tokens: the gateway with each kind of token.
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureAll, openTarget, printSamples, requestOf, type Sample, startProcess, type Target } from './meter.ts';
import { createPinning } from './pinning.ts';
import { prepareScene, type Scene } from './scene.ts';
import { boundByCertificate, boundByProof, opaque, type TokenKind } from './tokens.ts';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '2000' },
    warmup: { type: 'string', default: '20000' },
    connections: { type: 'string', default: '16' },
    tokens: { type: 'boolean', default: false },
    'no-pinning': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const meter = {
  rounds: Number(options.rounds),
  requests: Number(options.requests),
  warmup: Number(options.warmup),
  connections: Number(options.connections),
};
const bare = 'bare @fastify/http-proxy';

/** The processes of one run. */
interface Stage {
  readonly scene: Scene;
  readonly children: ChildProcess[];
  readonly targets: Target[];
}

const pinning = createPinning(!options['no-pinning']);
const samples = new Map<string, Sample[]>();
let told = '';
for (let run = 0; run < Number(options.runs); run++) await measureFreshProcesses();
if (!options.json)
  console.log(
    `Node ${process.versions.node}, ${options.runs} runs with fresh processes, ${told}, ${pinning.described}\n`,
  );
printSamples(samples, bare, options.json);

/** A process keeps the luck of its start, in the choices of its compilers and the places of its memory, for as long as it lives. */
async function measureFreshProcesses(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const scene = await prepareScene(directory, pinning, { allTokens: options.tokens });
  const stage: Stage = { scene, children: [], targets: [] };
  try {
    await openAll(stage);
    for (const [name, list] of await measureAll(stage.targets, meter, scene.answerBytes)) {
      samples.set(name, [...(samples.get(name) ?? []), ...list]);
    }
    const { rounds, requests, warmup, connections } = meter;
    told = `${rounds} rounds of ${requests} requests in each behind ${warmup} of warm-up, ${connections} connections, ${scene.body.length} bytes out, ${scene.answerBytes} back`;
  } finally {
    for (const target of stage.targets) await target.pool.destroy();
    for (const child of stage.children) child.kill('SIGKILL');
    await scene.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function openAll(stage: Stage): Promise<void> {
  const { scene } = stage;
  const plainToken: TokenKind = {
    name: options.tokens ? 'portcullis, plain token' : 'portcullis',
    prepare: async () => always(scene),
  };
  await open(stage, 'plain node:https + undici', start(stage, 'test/bench/plain.ts'), 'test/bench/plain.ts');
  await open(stage, bare, start(stage, 'test/bench/bare.ts'), 'test/bench/bare.ts');
  const gateway = start(stage, 'dist/main.js', 'serve', '-c', scene.configFile, '--log-level', 'error');
  const pathRoute: TokenKind = {
    name: 'portcullis, path route',
    prepare: async () => always(scene, '/exports/weekly'),
  };
  const kinds = options.tokens
    ? [plainToken, opaque(scene), await boundByCertificate(scene), await boundByProof(scene)]
    : [plainToken, pathRoute];
  for (const kind of kinds) await open(stage, kind.name, gateway, 'dist/main.js', kind);
}

function start({ scene, children }: Stage, ...args: string[]): ChildProcess {
  const child = startProcess(scene, pinning, args);
  children.push(child);
  return child;
}

async function open(
  { scene, targets }: Stage,
  name: string,
  child: ChildProcess,
  script: string,
  kind?: TokenKind,
): Promise<void> {
  const prepare = kind?.prepare ?? (async () => always(scene));
  const of = { name, process: child, prepare, port: scene.portOf(script), connections: meter.connections };
  targets.push(await openTarget(of, { ca: scene.caPem, ...kind?.certificate }));
}

/** The same request each time, with the token that any bearer may use. */
function always(of: Scene, path?: string): () => ReturnType<typeof requestOf> {
  const request = requestOf(of, { authorization: `Bearer ${of.token}` }, path);
  return () => request;
}
