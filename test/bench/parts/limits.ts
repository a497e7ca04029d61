// Part `limits`: the call of `calls` through gateways with limits and without, each in a process of its own.
import type { Configuration } from '../../support/configuration.ts';
import { type Contest, same } from '../contest.ts';
import { freePorts } from '../ports.ts';
import { callOf } from '../requests.ts';
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
