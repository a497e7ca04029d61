// Contract of a peer: another proxy that does the same work, or a named part of it, beside the gateway.
import type { Surroundings } from '../scene.ts';

export interface Peer {
  readonly name: string;
  /** For each request, in the words of the report. */
  readonly does: string;
  readonly refuses: readonly Refusal[];
  /** Path of the program, downloaded first where `install` says so. Throws an Error that says what the machine lacks. */
  find(install: boolean): string;
  /** Writes the configuration for a program at `path` that listens on `port` of the loopback address, and yields how to start it. */
  configure(path: string, port: number, at: Surroundings): Start;
}

/** Kinds of requests that are refused where a peer looks at that part of a request. */
export type Refusal = 'a forged token' | 'a token without the scope' | 'a tool that no rule allows';

export interface Start {
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A line of JSON for each request. */
  readonly logFile: string;
}

/** What the clients of every target ask for. */
export const scope = 'queries:execute';
export const tool = 'execute_sql';
