// Modules that a start loads: those that its configuration needs, all of them before it is ready.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { fileOf } from '../config/support.ts';
import { createTestCertificates } from '../support/certificates.ts';
import type { LoadedModules } from '../support/loaded-modules.ts';
import { startScenario } from '../support/scenario.ts';

const main = resolve(import.meta.dirname, '../../src/main.ts');
const preload = resolve(import.meta.dirname, '../support/loaded-modules.ts');
const { files } = await createTestCertificates();

/** On ports of its own, with TLS and a route with a tool rule. */
const plain = {
  server: '{listen: "127.0.0.1:0", publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key}}',
  admin: '{listen: "127.0.0.1:0"}',
  authenticators: '{corp: {type: jwt, issuer: "http://127.0.0.1:1", jwksUri: "http://127.0.0.1:1/jwks"}}',
  routes:
    '[{path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: [{allow: {tools: [list_dashboards]}, require: {scopes: [a]}}]}}]',
};
const conditional = { ...plain, routes: plain.routes.replace('[a]}', `[a], when: 'has(args.limit)'}`) };
const certified = {
  ...plain,
  server: plain.server.replace('tls.key', 'tls.key, clientCertificates: optional, clientCaFile: clients-ca.crt'),
};

const conditions = '@marcbachmann/cel-js';
const certificates = '@peculiar/asn1-x509';
const serving = ['fastify', 'undici', 'pino', 'prom-client'];

/** Runs a command on a configuration; `serve` until it is ready. */
async function run(t: Test, command: 'check' | 'serve', sections: Parameters<typeof fileOf>[0], brokenPackage = '') {
  const folder = t.testdir({ ...files, 'gateway.yaml': fileOf(sections) });
  const report = join(folder, 'modules.json');
  const child = spawn(process.execPath, ['--import', preload, main, command, '-c', join(folder, 'gateway.yaml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LOADED_MODULES: report, BROKEN_PACKAGE: brokenPackage },
  });
  child.stderr.on('data', (chunk) => String(chunk).includes('is listening') && child.kill('SIGINT'));
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  const { packages, hasFetch } = JSON.parse(readFileSync(report, 'utf8')) as LoadedModules;
  return { code, stderr, packages, hasFetch };
}

t.test('check loads nothing that serves, and no library that the configuration has no use for', async (t) => {
  const { code, hasFetch, packages, stderr } = await run(t, 'check', plain);
  t.equal(code, 0, stderr);
  t.ok(packages.includes('zod'));
  t.same(
    [...serving, certificates, conditions].filter((name) => packages.includes(name)),
    [],
  );
  t.notOk(hasFetch, "Node's fetch");
});

t.test('serve loads neither conditions nor certificates nor compilers of schemas, and one undici', async (t) => {
  const { code, hasFetch, packages, stderr } = await run(t, 'serve', plain);
  t.equal(code, 0, stderr);
  t.same(
    serving.filter((name) => !packages.includes(name)),
    [],
  );
  t.same(
    packages.filter((name) =>
      [certificates, conditions, 'ajv', 'pino-pretty', '@opentelemetry/sdk-trace'].includes(name),
    ),
    [],
  );
  t.notOk(hasFetch, "Node's fetch");
});

t.test('a condition, and authorities of client certificates, load their library', async (t) => {
  const one = await run(t, 'check', conditional);
  t.match([one.packages.includes(conditions), one.packages.includes(certificates)], [true, false], one.stderr);
  const other = await run(t, 'check', certified);
  t.match([other.packages.includes(conditions), other.packages.includes(certificates)], [false, true], other.stderr);
});

t.test('a library that cannot be loaded ends the start with a line that names it', async (t) => {
  for (const [sections, name] of [
    [conditional, conditions],
    [certified, certificates],
  ] as const) {
    const { code, stderr } = await run(t, 'serve', sections, name);
    t.equal(code, 1);
    t.match(stderr, `the package ${name} is broken`);
    t.notMatch(stderr, 'is listening');
  }
});

t.test('the first call with a condition and a client certificate loads no further module', async (t) => {
  const rules = [{ allow: { tools: ['list_dashboards'], when: '!has(args.limit)' } }];
  const { agent, upstream } = await startScenario(t, { routes: { '/mcp': { mcp: { rules } } } }, { tls: true });
  const loaded: string[] = [];
  const hooks = registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:')) loaded.push(url);
      return next(url, context);
    },
  });
  t.teardown(() => hooks.deregister());
  t.equal((await agent.call('list_dashboards')).status, 200);
  t.equal(upstream.requests.length, 1);
  t.same(loaded, []);
});
