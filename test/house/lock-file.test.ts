// The lock file holds no dependency older than the fix of an advisory that concerns us, and names no download host.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../../package-lock.json'), 'utf8')) as {
  packages: Record<
    string,
    { version?: string; resolved?: string; dev?: boolean; optional?: boolean; engines?: { node?: string } }
  >;
};

/** Lowest version of each major line that is free of the advisory named beside it. */
const floors: [name: string, floor: string, why: string][] = [
  ['fastify', '5.12.5', 'GHSA-444r-cwp2-x5xf, GHSA-3m5p-2c4r-xxw2, GHSA-w2qp-rph6-63g4, content-type advisories'],
  ['@fastify/http-proxy', '11.6.3', 'GHSA-gwhp-pf74-vj37 and the destination checks'],
  ['@fastify/reply-from', '12.6.5', 'GHSA-gwhp-pf74-vj37, GHSA-v574-6498-x57v, GHSA-2q7r-29rg-6m5h'],
  ['@fastify/proxy-addr', '5.1.1', 'GHSA-jqcg-44mw-7w3h'],
  ['find-my-way', '9.7.0', 'GHSA-c96f-x56v-gq3h'],
  ['undici', '6.24.0', 'CVE-2026-1525, CVE-2026-22036'],
  ['undici', '7.24.0', 'CVE-2026-1525, CVE-2026-22036'],
  ['jose', '6.0.0', 'CVE-2024-28176'],
  ['node', '24.17.0', 'the June 2026 security releases'],
  ['@modelcontextprotocol/sdk', '1.26.0', 'CVE-2026-25536, CVE-2026-0621, CVE-2025-66414'],
];

t.test('no locked version is below its floor', (t) => {
  for (const [name, floor, why] of floors) {
    const versions = versionsOf(name);
    t.ok(versions.length > 0, `${name} is in the lock file`);
    for (const version of versions) {
      const otherLine = floors.some(
        ([other, line]) => other === name && line !== floor && majorOf(line) === majorOf(version),
      );
      if (!otherLine) t.ok(atLeast(version, floor), `${name} ${version} is at least ${floor}: ${why}`);
    }
  }
  t.end();
});

t.test('no lock file names a download host', (t) => {
  const docs = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../docs/package-lock.json'), 'utf8'),
  ) as typeof lock;
  const named = [lock, docs].flatMap(({ packages }) =>
    Object.entries(packages).filter(([, entry]) => entry.resolved !== undefined),
  );
  t.same(named, []);
  t.end();
});

// The Node of Debian 12 and of many a machine that clones; the scripts then run on the Node of the lock file.
t.test('every optional package fits a Node 20 that installs: npm leaves out the others without a word', (t) => {
  const unfit = Object.entries(lock.packages)
    .filter(([, { optional, engines }]) => optional === true && engines?.node !== undefined)
    .filter(
      ([, { engines }]) =>
        !engines!.node!.split('||').some((range) => Number(majorOf(range.replace(/^\D+/, ''))) <= 20),
    )
    .map(([path]) => path);
  t.same(unfit, []);
  t.end();
});

function versionsOf(name: string): string[] {
  return Object.entries(lock.packages)
    .filter(([path]) => path === `node_modules/${name}` || path.endsWith(`/node_modules/${name}`))
    .flatMap(([, entry]) => entry.version ?? []);
}

function majorOf(version: string): string {
  return version.split('.')[0]!;
}

function atLeast(version: string, floor: string): boolean {
  const left = version.split('.').map((part) => Number.parseInt(part, 10));
  const right = floor.split('.').map(Number);
  for (let index = 0; index < 3; index++) {
    if (left[index] !== right[index]) return left[index]! > right[index]!;
  }
  return true;
}
