// The rooms of src and the imports between them.
import { dirname, join } from 'node:path/posix';
import type { SourceFile } from 'typescript/unstable/ast';
import { type Import, importsOf } from './source.ts';

/** The files below all rooms, from bottom to top. Every room may import them. */
export const ground = [
  'errors',
  'log',
  'ip-ranges',
  'pem',
  'key-strength',
  'named-files',
  'keyed-counts',
  'limit-share',
  'bounded-cache',
  'jwk-thumbprint',
  'replace-file',
  'shell',
  'printable',
  'csv',
];

/** The rooms of src from bottom to top, each with the rooms below it that it imports. A file is of the room with the longest path. */
export const rooms: readonly (readonly [name: string, imports: readonly string[]])[] = [
  ['json', []],
  ['http', []],
  ['metrics', []],
  ['config/schema/suggestion', []],
  ['config/schema/reporter', []],
  ['config/schema/values', ['http']],
  ['mcp', ['json', 'http', 'config/schema/values']],
  ['oauth', ['http', 'config/schema/reporter', 'config/schema/values']],
  ['telemetry', ['http', 'config/schema/reporter', 'config/schema/values', 'oauth']],
  ['audit', ['http', 'config/schema/reporter', 'config/schema/values', 'oauth']],
  ['state', ['http', 'config/schema/values', 'oauth']],
  ['authn', ['json', 'http', 'config/schema/reporter', 'config/schema/values', 'oauth', 'state']],
  ['limits', ['config/schema/values', 'mcp', 'state', 'authn']],
  [
    'policy',
    [
      'http',
      'json',
      'config/schema/suggestion',
      'config/schema/reporter',
      'config/schema/values',
      'mcp',
      'authn',
      'limits',
    ],
  ],
  ['upstream/identity/facts', []],
  [
    'config/schema',
    [
      'config/schema/values',
      'upstream/identity/facts',
      'audit',
      'mcp',
      'oauth',
      'telemetry',
      'state',
      'authn',
      'limits',
      'policy',
    ],
  ],
  ['upstream', ['http', 'upstream/identity/facts', 'authn', 'config/schema']],
  [
    'config',
    [
      'http',
      'config/schema/suggestion',
      'config/schema/reporter',
      'config/schema/values',
      'audit',
      'mcp',
      'oauth',
      'state',
      'authn',
      'limits',
      'telemetry',
      'policy',
      'config/schema',
      'upstream',
      'upstream/identity/facts',
    ],
  ],
  [
    'gateway',
    [
      'http',
      'metrics',
      'audit',
      'mcp',
      'oauth',
      'telemetry',
      'state',
      'authn',
      'limits',
      'policy',
      'config/schema',
      'upstream',
      'config',
    ],
  ],
  ['pki', []],
  [
    'review',
    [
      'http',
      'json',
      'config/schema/suggestion',
      'config/schema/reporter',
      'config/schema/values',
      'config/schema',
      'audit',
      'mcp',
      'oauth',
      'state',
      'authn',
      'limits',
      'policy',
      'upstream',
      'config',
      'gateway',
      'pki',
    ],
  ],
  [
    'console',
    [
      'http',
      'metrics',
      'audit',
      'config/schema',
      'mcp',
      'oauth',
      'state',
      'authn',
      'policy',
      'config',
      'gateway',
      'review',
    ],
  ],
  [
    'workers',
    [
      'http',
      'metrics',
      'audit',
      'config/schema',
      'authn',
      'state',
      'upstream',
      'upstream/identity/facts',
      'config',
      'gateway',
      'console',
    ],
  ],
  ['dev', ['console', 'pki']],
  [
    'cli',
    [
      'http',
      'config/schema/suggestion',
      'config/schema/values',
      'config/schema',
      'audit',
      'mcp',
      'authn',
      'policy',
      'upstream',
      'config',
      'gateway',
      'console',
      'workers',
      'review',
      'pki',
      'dev',
    ],
  ],
  ['main', ['cli']],
];

/** The imports of every file; those of files of ours as paths below `src`, packages as they are named. */
export function importGraph(files: ReadonlyMap<string, SourceFile>): Map<string, Import[]> {
  return new Map(
    [...files].map(([path, file]) => [
      path,
      importsOf(file).map((found) => ({ ...found, specifier: resolve(path, found.specifier) })),
    ]),
  );
}

function resolve(path: string, specifier: string | undefined): string | undefined {
  return specifier?.startsWith('.') ? join(dirname(path), specifier) : specifier;
}

/** The room of a file: the longest path of the table that leads to it. */
export function roomOf(path: string): string | undefined {
  const names = [...ground, ...rooms.map(([name]) => name)];
  const leading = names.filter((name) => path === `${name}.ts` || path.startsWith(`${name}/`));
  return leading.sort((left, right) => right.length - left.length)[0];
}

/** The groups of files that import each other, directly or by way of others; types count. */
export function circles(graph: ReadonlyMap<string, readonly Import[]>): string[][] {
  const reach = new Map([...graph.keys()].map((path) => [path, reachable(path, graph)]));
  const groups = new Map<string, string[]>();
  for (const [path, reached] of reach) {
    if (!reached.has(path)) continue;
    const group = [...reached].filter((other) => reach.get(other)?.has(path)).sort();
    groups.set(group[0]!, group);
  }
  return [...groups.values()];
}

/** The modules that a file loads, by way of others too; itself only when it stands in a circle. */
export function reachable(
  path: string,
  graph: ReadonlyMap<string, readonly Import[]>,
  follow: (found: Import) => boolean = () => true,
): Set<string> {
  const reached = new Set<string>();
  const next = [path];
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    for (const found of graph.get(at) ?? []) {
      if (found.specifier === undefined || !follow(found) || reached.has(found.specifier)) continue;
      reached.add(found.specifier);
      next.push(found.specifier);
    }
  }
  return reached;
}
