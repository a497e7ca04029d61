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
  /** Told each change, once until it is long past. */
  readonly definitionChanged: (route: string, change: DefinitionChange, onChange: RoutePins['onChange']) => void;
}

/** The same change is reported again after this time. An upstream that shows ever new ones has no more reports in it than `maxReports`. */
const reportedForMs = 3_600_000;
const maxReports = 200;

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
  const isNew = createReportFilter(runtime.now);
  const pins = createPins(files.parse(file, parseCatalog), (change) => {
    if (isNew(change)) runtime.definitionChanged(name, change, onChange);
  });
  return { ...pins, key, onChange, firstAsked: Promise.withResolvers(), recheck: () => {}, problem: undefined };
}

function createReportFilter(now: () => number): (change: DefinitionChange) => boolean {
  const reported = new Map<string, number>();
  return ({ list, name, seen }) => {
    const nowMs = now();
    const key = `${list} ${seen} ${name}`;
    const before = reported.get(key);
    if (before !== undefined && nowMs - before < reportedForMs) return false;
    if (reported.size >= maxReports) {
      for (const [each, time] of reported) if (nowMs - time >= reportedForMs) reported.delete(each);
      if (reported.size >= maxReports) return false;
    }
    reported.set(key, nowMs);
    return true;
  };
}
