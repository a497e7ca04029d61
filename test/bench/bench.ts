// CPU time per request and throughput: the gateway against the bare, unauthenticated @fastify/http-proxy and against plain node:https + undici,
// in one run. Both sides TLS, keep-alive, 16 connections, 1 KiB each way, medians over the rounds. With --tokens: the gateway with each kind of token.
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureAll, openTarget, printSamples, requestOf, startProcess, type Target } from './meter.ts';
import { createPinning } from './pinning.ts';
import { prepareScene, type Scene } from './scene.ts';
import { boundByCertificate, boundByProof, opaque, type TokenKind } from './tokens.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    requests: { type: 'string', default: '6000' },
    warmup: { type: 'string', default: '30000' },
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

const directory = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
const pinning = createPinning(!options['no-pinning']);
const scene = await prepareScene(directory, pinning, { allTokens: options.tokens });
const children: ChildProcess[] = [];
const targets: Target[] = [];
try {
  const plainToken: TokenKind = {
    name: options.tokens ? 'portcullis, plain token' : 'portcullis',
    prepare: async () => always(scene),
  };
  await open('plain node:https + undici', start('test/bench/plain.ts'), 'test/bench/plain.ts');
  await open(bare, start('test/bench/bare.ts'), 'test/bench/bare.ts');
  const gateway = start('dist/main.js', 'serve', '-c', scene.configFile, '--log-level', 'error');
  const kinds = options.tokens
    ? [plainToken, opaque(scene), await boundByCertificate(scene), await boundByProof(scene)]
    : [plainToken];
  for (const kind of kinds) await open(kind.name, gateway, 'dist/main.js', kind);
  const samples = await measureAll(targets, meter, scene.answerBytes);
  if (!options.json) {
    const { rounds, requests, connections } = meter;
    console.log(
      `Node ${process.versions.node}, ${rounds} rounds of ${requests} requests behind ${meter.warmup} of warm-up, ${connections} connections, ${scene.body.length} bytes out, ${scene.answerBytes} back, ${pinning.described}\n`,
    );
  }
  printSamples(samples, bare, options.json);
} finally {
  for (const target of targets) await target.pool.destroy();
  for (const child of children) child.kill('SIGKILL');
  await scene.close();
  rmSync(directory, { recursive: true, force: true });
}

function start(...args: string[]): ChildProcess {
  const child = startProcess(scene, pinning, args);
  children.push(child);
  return child;
}

async function open(name: string, child: ChildProcess, script: string, kind?: TokenKind): Promise<void> {
  const prepare = kind?.prepare ?? (async () => always(scene));
  const of = { name, process: child, prepare, port: scene.portOf(script), connections: meter.connections };
  targets.push(await openTarget(of, { ca: scene.caPem, ...kind?.certificate }));
}

/** The same request each time, with the token that any bearer may use. */
function always(of: Scene): () => ReturnType<typeof requestOf> {
  const request = requestOf(of, { authorization: `Bearer ${of.token}` });
  return () => request;
}
