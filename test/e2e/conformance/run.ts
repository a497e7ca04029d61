// `npm run test:conformance`: the public suite against servers of both SDK generations, directly and through the gateway.
import { startGatewayInFront } from './gateway.ts';
import { startServerV1 } from './server-v1.ts';
import { startServerV2 } from './server-v2.ts';
import { type Check, runSuite, type SuiteResult } from './suite.ts';

interface Case {
  readonly server: 'SDK 1' | 'SDK 2';
  readonly requirements: '2025-11-25' | '2026-07-28';
  /** The server speaks that revision: directly, all that it requires must pass. */
  readonly complete: boolean;
}

const cases: readonly Case[] = [
  { server: 'SDK 1', requirements: '2025-11-25', complete: true },
  { server: 'SDK 1', requirements: '2026-07-28', complete: false },
  { server: 'SDK 2', requirements: '2025-11-25', complete: true },
  { server: 'SDK 2', requirements: '2026-07-28', complete: true },
];

let problems = 0;
console.log('server  requirements  scenarios  directly    through the gateway');
for (const one of cases) {
  const [direct, through] = await Promise.all([runDirectly(one), runThrough(one)]);
  const [expected, found] = [direct, through].map((result) => summary(result).padEnd(10));
  console.log(`${one.server}   ${one.requirements}    ${String(direct.checks.size).padEnd(9)}  ${expected}  ${found}`);
  if (one.complete && !direct.passed) {
    problems++;
    console.log(`  ${one.server} does not pass directly:\n${direct.output}`);
  }
  for (const { text, better } of differences(direct, through)) {
    // What a server of an older revision does not enforce, the gateway may.
    const accepted = better && !one.complete;
    if (!accepted) problems++;
    console.log(`  ${accepted ? 'better' : 'DIFFERENT'}: ${text}`);
  }
}
console.log(problems === 0 ? 'conformance: the same, check by check' : `conformance: ${problems} problems`);
process.exitCode = problems === 0 ? 0 : 1;

async function runDirectly({ server, requirements }: Case): Promise<SuiteResult> {
  const upstream = await (server === 'SDK 1' ? startServerV1() : startServerV2());
  try {
    return await runSuite(`http://localhost:${upstream.port}/mcp`, requirements);
  } finally {
    await upstream.close();
  }
}

async function runThrough({ server, requirements }: Case): Promise<SuiteResult> {
  const upstream = await (server === 'SDK 1' ? startServerV1() : startServerV2());
  const front = await startGatewayInFront(upstream.origin);
  try {
    return await runSuite(`${front.origin}/mcp`, requirements);
  } finally {
    await front.close();
    await upstream.close();
  }
}

function summary({ checks }: SuiteResult): string {
  const all = [...checks.values()].flat();
  const count = (status: Check['status']): number => all.filter((check) => check.status === status).length;
  return `${count('SUCCESS')} / ${count('FAILURE')}`;
}

interface Difference {
  readonly text: string;
  /** Fewer checks fail through the gateway than directly, and nothing else is worse. */
  readonly better: boolean;
}

/** One for each check id that did not end alike; the same id may be checked several times. */
function differences(direct: SuiteResult, through: SuiteResult): Difference[] {
  const scenarios = new Set([...direct.checks.keys(), ...through.checks.keys()]);
  return [...scenarios].flatMap((scenario) => {
    const expected = byId(direct.checks.get(scenario) ?? []);
    const found = byId(through.checks.get(scenario) ?? []);
    return [...new Set([...expected.keys(), ...found.keys()])].flatMap((id) => {
      const [before, after] = [statuses(expected.get(id)), statuses(found.get(id))];
      if (before === after) return [];
      const messages = (found.get(id) ?? []).flatMap(({ errorMessage }) => errorMessage ?? []);
      const text = `${scenario}, ${id}: directly ${before}, through ${after} ${messages.join('; ')}`;
      return [{ text, better: failures(after) < failures(before) && !/WARNING|nothing/.test(after) }];
    });
  });
}

function byId(checks: readonly Check[]): Map<string, readonly Check[]> {
  return new Map(Map.groupBy(checks, ({ id }) => id));
}

function failures(statuses: string): number {
  return statuses.split('FAILURE').length - 1;
}

function statuses(checks: readonly Check[] | undefined): string {
  const all = checks?.map(({ status }) => status).sort() ?? ['nothing'];
  return all.join('+');
}
