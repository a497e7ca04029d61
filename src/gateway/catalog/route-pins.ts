// Pins of the MCP routes of a snapshot, which unchanged routes keep over a reload.
import { hash } from 'node:crypto';
import type { LoadedConfig } from '../../config/load.ts';
import type { RouteConfig } from '../../config/schema/config.ts';
import { parseCatalog } from '../../mcp/catalog/catalog.ts';
import { createPins, type DefinitionChange, type Pins } from '../../mcp/catalog/pins.ts';
import type { PooledUpstreams } from '../upstreams/upstream-set.ts';

/** The pins of one route, and the state of the gateway's own questions to its upstream. */
export interface RoutePins extends Pins {
  /** Pins with equal keys hold the same catalogue against the same upstream. */
  readonly key: string;
  readonly onChange: 'deny' | 'warn';
  /** Settled by the first question, whether it is answered or not. Calls wait for it. */
  readonly firstAsked: PromiseWithResolvers<void>;
  /** Asks the upstream soon: it says that a list has changed. */
  recheck: () => void;
  /** The reason for which the last question had no answer. */
  problem: string | undefined;
}

/** Dependencies of pins. */
export interface PinsRuntime {
  readonly now: () => number;
  /** Told each change, once until it is long past. One that is not `isTold` is beyond a number: it only counts. */
  readonly definitionChanged: (
    route: string,
    change: DefinitionChange,
    onChange: RoutePins['onChange'],
    isTold: boolean,
  ) => void;
}

/** The same change is told again after this time. An upstream that shows ever new ones has no more of them told in it. */
const toldForMs = 3_600_000;
/** Of all names that are not recorded. */
const maxToldOfStrangers = 200;
const maxToldOfName = 10;

/** The pins of a route; undefined where it has no catalogue. Those of `previous` with the same key go on. */
export function compileRoutePins(
  { mcp, name, path, upstream, upstreamPath }: RouteConfig,
  { files }: LoadedConfig,
  upstreams: PooledUpstreams,
  runtime: PinsRuntime,
  previous: RoutePins | undefined,
): RoutePins | undefined {
  const pooled = upstreams.get(upstream ?? '');
  if (mcp?.catalog === undefined || pooled === undefined) return undefined;
  const { file, onChange } = mcp.catalog;
  const content = files.get(file);
  const digest = content === undefined ? '' : hash('sha256', content);
  const key = JSON.stringify([name, digest, onChange, pooled.key, upstreamPath ?? path]);
  if (previous?.key === key) return previous;
  const newsOf = createReportFilter(runtime.now);
  const pins = createPins(files.parse(file, parseCatalog), (change) => {
    const news = newsOf(change);
    if (news !== 'known') runtime.definitionChanged(name, change, onChange, news === 'new');
  });
  return { ...pins, key, onChange, firstAsked: Promise.withResolvers(), recheck: () => {}, problem: undefined };
}

/** A recorded name has a number of its own: no other name uses it up. */
function createReportFilter(now: () => number): (change: DefinitionChange) => 'new' | 'known' | 'beyond' {
  const groups = new Map<string, Map<string, number>>();
  return ({ list, name, recorded, seen }) => {
    const nowMs = now();
    const [group, most] = recorded === undefined ? ['', maxToldOfStrangers] : [`${list} ${name}`, maxToldOfName];
    const told = groups.get(group) ?? new Map<string, number>();
    groups.set(group, told);
    const key = hash('sha256', `${list} ${seen} ${name}`);
    const before = told.get(key);
    if (before !== undefined && nowMs - before < toldForMs) return 'known';
    if (told.size >= most) for (const [each, time] of told) if (nowMs - time >= toldForMs) told.delete(each);
    if (told.size >= most) return 'beyond';
    told.set(key, nowMs);
    return 'new';
  };
}
