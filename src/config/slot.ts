// Slot of a process among those that share one configuration: its own files, and its share of the limits in bytes and refusals.
import { basename, dirname, extname, join } from 'node:path';
import type { SinkConfig } from '../audit/sinks/sink-types.ts';
import type { LoadedConfig } from './load.ts';
import type { Config } from './schema/config.ts';

/** The place of one process among several. */
export interface Slot {
  /** From 1. */
  readonly number: number;
  /** The processes that share the limits. */
  readonly of: number;
}

/** The path of a file that each process has for itself: `audit.jsonl` becomes `audit.2.jsonl`. */
function slotPath(path: string, { number }: Pick<Slot, 'number'>): string {
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}.${number}${extension}`);
}

/** The configuration as the process of a slot uses it; the hash stays. */
export function withSlot(loaded: LoadedConfig, slot: Slot | undefined): LoadedConfig {
  if (slot === undefined) return loaded;
  const { audit, server } = loaded.config;
  return {
    ...loaded,
    config: {
      ...loaded.config,
      server: { ...server, limits: shareOf(server.limits, slot) },
      audit: {
        ...audit,
        sinks: audit.sinks.map((sink) => withOwnPath(sink, slot)),
        ...(audit.sign && { sign: withOwnState(audit.sign, slot) }),
      },
    },
  };
}

/** Memory and refusals are divided. Connections are counted where they are accepted, for all. */
function shareOf(limits: Config['server']['limits'], { of }: Slot): Config['server']['limits'] {
  const { bodyBytesInAll, bodyBytesPerSubject, refusalsPerAddress } = limits;
  return {
    ...limits,
    bodyBytesInAll: Math.ceil(bodyBytesInAll / of),
    bodyBytesPerSubject: Math.ceil(bodyBytesPerSubject / of),
    refusalsPerAddress: { ...refusalsPerAddress, count: Math.ceil(refusalsPerAddress.count / of) },
  };
}

function withOwnPath(sink: SinkConfig, slot: Slot): SinkConfig {
  if ('path' in sink) return { ...sink, path: slotPath(sink.path, slot) };
  if (!('spool' in sink) || sink.spool === undefined) return sink;
  return { ...sink, spool: { ...sink.spool, path: slotPath(sink.spool.path, slot) } };
}

function withOwnState(sign: NonNullable<Config['audit']['sign']>, slot: Slot): NonNullable<Config['audit']['sign']> {
  return sign.stateFile === undefined ? sign : { ...sign, stateFile: slotPath(sign.stateFile, slot) };
}
