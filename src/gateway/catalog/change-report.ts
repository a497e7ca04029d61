// Report of a changed definition: its metric, its `config` record, and the difference in the operator's log.
import type { Log } from '../../log.ts';
import { cut, visible } from '../../mcp/catalog/difference.ts';
import type { DefinitionChange } from '../../mcp/catalog/pins.ts';
import type { PinsRuntime } from './route-pins.ts';

/** Dependencies of the report. */
export interface ChangeReportRuntime {
  readonly log: Log;
  readonly observe: { definitionChanged(route: string): void };
  /** Writes a `config` record. */
  readonly record: (detail: Readonly<Record<string, unknown>>) => unknown;
}

const maxName = 200;

/** Creates the report. */
export function createChangeReport({ log, observe, record }: ChangeReportRuntime): PinsRuntime['definitionChanged'] {
  return (route, change, onChange, isTold) => {
    observe.definitionChanged(route);
    if (!isTold) return;
    const part = partOfRecord(change);
    record({ event: 'definition changed', route, onChange, ...part });
    const differences = change.differences.map(({ pointer, text }) => `${cut(visible(pointer), maxName)} ${text}`);
    const effect = onChange === 'deny' ? 'it is hidden and refused' : 'it still passes';
    const what = change.recorded === undefined ? 'is not in the catalogue' : 'is not as it was recorded';
    log.warn({ route, ...part, differences }, `a definition ${what}: ${effect}`);
  };
}

/** A change as records have it: digests, and pointers to what differs. */
export function partOfRecord({ list, name, recorded, seen, differences }: DefinitionChange) {
  const changed = differences.map(({ pointer }) => pointer.slice(0, maxName));
  return { list, name: name.slice(0, maxName), recorded, seen, ...(changed.length > 0 && { changed }) };
}
