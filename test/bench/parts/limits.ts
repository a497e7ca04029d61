// Parts `limits` and `limits-in-redis`: the call of `calls` through gateways with limits and without, each in a process of its own.
import { startRedis } from '../../scale/redis.ts';
import type { Configuration } from '../../support/configuration.ts';
import { type Contest, runContest, same } from '../contest.ts';
import { freePorts } from '../ports.ts';
import type { Report } from '../report.ts';
import { callOf } from '../requests.ts';
import type { Settings } from '../settings.ts';
import { configurationOf, type SceneConfiguration, variantOf } from '../variant.ts';

const without = 'portcullis, without limits';
const one = 'portcullis, a limit of the rule';
const three = 'portcullis, three limits of route and rule';
const body = callOf();
/** None of them is reached. */
const sizes = {
  sql: { rate: '999999999/m', per: ['client', 'subject'] },
  day: { quota: '999999999/d', per: ['subject', 'tool'] },
  all: { rate: '999999999/m', per: ['route'] },
};

export const limits: Contest = {
  async entries(scene) {
    const live = configurationOf(scene);
    const variants = [
      [without, live],
      [one, under(live, [], ['sql'])],
      [three, under(live, ['all'], ['sql', 'day'])],
    ] as const;
    const ports = await freePorts(variants.length * 2);
    return variants.map(([name, configuration], index) => {
      const script = variantOf(scene, `limits-${index}`, configuration, ports.slice(index * 2, index * 2 + 2));
      return same(scene, { name, script, base: without }, { body });
    });
  },
  bounds: [
    { of: one, to: without, atMost: 1.05 },
    { of: three, to: without, atMost: 1.1 },
  ],
};

const inMemory = 'portcullis, a limit in memory';
const inRedis = 'portcullis, a limit in Redis';

/** Starts a real Redis on this machine. Throws where Debian's package cannot be had. */
export async function measureLimitsInRedis(settings: Settings): Promise<Report> {
  const redis = await startRedis();
  try {
    return await runContest('limits-in-redis', contestWith(redis.url), settings);
  } finally {
    await redis.close();
  }
}

function contestWith(url: string): Contest {
  return {
    told: '. With one connection a request waits for nothing but itself: the latency of the question is the difference of 1/(requests/s)',
    async entries(scene) {
      const live = under(configurationOf(scene), [], ['sql']);
      const variants = [
        [inMemory, live],
        [inRedis, { ...live, state: { redis: { url } } }],
      ] as const;
      const ports = await freePorts(variants.length * 2);
      return variants.flatMap(([name, configuration], index) => {
        const script = variantOf(scene, `state-${index}`, configuration, ports.slice(index * 2, index * 2 + 2));
        const alone = { name: `${name}, one connection`, script, base: `${inMemory}, one connection`, connections: 1 };
        return [same(scene, { name, script, base: inMemory }, { body }), same(scene, alone, { body })];
      });
    },
    bounds: [],
  };
}

interface McpRoute {
  readonly mcp?: { readonly rules: readonly Configuration[] };
}

function under(live: SceneConfiguration, ofRoute: readonly string[], ofRules: readonly string[]): SceneConfiguration {
  const routes = live.routes.map((route) => {
    const { mcp } = route as McpRoute;
    if (mcp === undefined) return route;
    const rules = mcp.rules.map((rule) => ('allow' in rule ? { ...rule, limits: ofRules } : rule));
    return { ...route, limits: ofRoute, mcp: { ...mcp, rules } };
  });
  return { ...live, limits: sizes, routes };
}
