// Summary of a configuration: its routes, its callers, and the tools that its rules allow, a line each.
import { endOfKey } from '../authn/api-key.ts';
import type { AuthenticatorConfig } from '../authn/authenticator-types.ts';
import { knownNamesOf } from '../policy/lint/known-names.ts';
import { allowsSome } from '../policy/lint/name-lint.ts';
import { metaToolsOf, rulesOf } from '../policy/presets.ts';
import type { LoadedConfig } from './load.ts';

/** Three lines for people. `now` is in milliseconds since 1970. */
export function summarize({ config, files }: LoadedConfig, now: number): string[] {
  const { routes, authenticators } = config;
  const open = routes.filter(({ authenticate }) => authenticate === 'none').map(({ path }) => path);
  const callers = Object.entries(authenticators).map(([name, each]) => callersOf(name, each, now));
  const tools = routes.flatMap(({ name, mcp }) => {
    if (mcp === undefined) return [];
    const rules = rulesOf(mcp);
    const known = knownNamesOf({ mcp }, files)?.tools.filter((tool) => !Object.hasOwn(metaToolsOf(mcp), tool));
    if (known === undefined) return [`${name}: ${count(rules.length, 'rule')}, names of its tools are not known`];
    return [`${name}: rules allow ${known.filter((tool) => allowsSome(rules, tool)).length} of ${known.length} known`];
  });
  return [
    `routes: ${routes.length}, ${open.length === 0 ? 'none' : `only ${open.join(', ')}`} without authentication`,
    `callers: ${callers.join('; ') || 'nobody'}`,
    `tools: ${tools.join('; ') || 'no MCP route'}`,
  ];
}

function callersOf(name: string, config: AuthenticatorConfig, now: number): string {
  switch (config.type) {
    case 'jwt':
    case 'introspection':
      return `tokens of ${name}`;
    case 'mtls':
      return `${count(config.allow.length, 'certificate')} of ${name}`;
    case 'apiKey': {
      const ends = (config.keys ?? []).map((key) => endOfKey(key, config));
      const live = ends.filter((end) => end > now);
      const expired = ends.length > live.length ? ` (${ends.length - live.length} more expired)` : '';
      const until = live.length > 0 ? ` until ${dayOf(Math.max(...live))}` : '';
      return `${count(live.length, 'key')} of ${name}${until}${expired}`;
    }
  }
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

/** The day in UTC. */
function dayOf(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}
