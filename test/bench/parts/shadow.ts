// Part `shadow`: the call of `calls` through gateways with a shadow and without, each in a process of its own.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Contest, same } from '../contest.ts';
import { freePorts } from '../ports.ts';
import { callOf } from '../requests.ts';
import { configurationOf, variantOf } from '../variant.ts';

const without = 'portcullis, without a shadow';
const agrees = 'portcullis, a shadow that decides alike';
const differs = 'portcullis, a shadow that decides otherwise';
const body = callOf();

export const shadow: Contest = {
  async entries(scene) {
    const live = configurationOf(scene);
    const routes = live.routes.map((route) => ({ ...route, scopes: undefined, rules: undefined, mcp: { rules: [] } }));
    const shadows = [
      [without, undefined],
      [agrees, live],
      [differs, { ...live, routes }],
    ] as const;
    const ports = await freePorts(shadows.length * 2);
    return shadows.map(([name, next], index) => {
      const file = `shadow-${index}.next.json`;
      if (next !== undefined) writeFileSync(join(scene.surroundings.directory, file), JSON.stringify(next));
      const configuration = next === undefined ? live : { ...live, shadow: { file } };
      const script = variantOf(scene, `shadow-${index}`, configuration, ports.slice(index * 2, index * 2 + 2));
      return same(scene, { name, script, base: without }, { body });
    });
  },
  bounds: [
    { of: agrees, to: without, atMost: 1.15 },
    { of: differs, to: without, atMost: 1.15 },
  ],
};
