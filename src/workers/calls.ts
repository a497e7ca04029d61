// Calls between the supervisor and its workers.
import type { AddressInfo } from 'node:net';
import type { ChainedLines, ChainHead } from '../audit/hash-chain.ts';
import type { FilesRead } from '../config/files/reading.ts';
import type { Slot } from '../config/slot.ts';
import type { Readiness } from '../gateway/admin/admin.ts';
import type { MetricValues } from '../metrics/sum.ts';
import type { Channel } from './channel.ts';
import type { CommonsCalls, MemberCalls } from './shared/commons.ts';

/** A worker's start. */
export interface WorkerStart {
  readonly slot: Slot;
  /** Another generation of the gateway may have the files of the slot: then it takes those of the first free one behind. */
  readonly isGeneration: boolean;
  /** The name of the process in its records. */
  readonly instance: string;
  readonly configFile: string;
  /** The files of the configuration in force, which may be others on the disk by now. */
  readonly reading: FilesRead;
  /** Of the public listener. */
  readonly address: AddressInfo;
  /** Of the keys that all workers have. */
  readonly rootKey: Uint8Array;
}

/** A call of one function of a console source. */
export interface ConsoleCall {
  readonly method: string;
  readonly args: readonly unknown[];
}

/** The result (structured clone), or the message and the HTTP status of what the function threw. */
export type ConsoleAnswer =
  | { readonly value: Uint8Array }
  | { readonly error: string; readonly statusCode: number | undefined };

/** Calls of the supervisor to a worker. */
export interface WorkerCalls extends MemberCalls {
  /** Answered when the worker is ready for connections. */
  readonly start: readonly [start: WorkerStart, started: { readonly hash: string }];
  readonly ping: readonly [undefined, undefined];
  /** Hands a socket over; answered when it was taken. The worker tells with `closed` and this number when it is closed. */
  readonly connection: readonly [id: number, undefined];
  /** The first half of a reload; `commit` or `dispose` follows. */
  readonly prepare: readonly [FilesRead, { readonly hash: string }];
  readonly commit: readonly [undefined, undefined];
  readonly dispose: readonly [undefined, undefined];
  /** A reload was refused. One worker records it. */
  readonly refuse: readonly [{ readonly problem: string; readonly isTold: boolean }, undefined];
  /** Writes a `config` record. */
  readonly record: readonly [detail: Readonly<Record<string, unknown>>, undefined];
  readonly readiness: readonly [undefined, Readiness];
  readonly status: readonly [undefined, object];
  readonly keySet: readonly [undefined, string | undefined];
  readonly metrics: readonly [undefined, MetricValues];
  /** Calls a function of the worker's console source. */
  readonly console: readonly [ConsoleCall, ConsoleAnswer];
  /** Answered when the worker has stopped; then it exits. */
  readonly drain: readonly [undefined, undefined];
  readonly close: readonly [undefined, undefined];
}

/** Calls of a worker to the supervisor. */
export interface SupervisorCalls extends CommonsCalls {
  readonly closed: readonly [id: number, undefined];
  /** The worker was told to end by somebody else: it gets no more connections. Rejects where all workers stop. */
  readonly retire: readonly [undefined, undefined];
  /** The last counts of a worker that ends. */
  readonly leave: readonly [MetricValues, undefined];
  /** The head of the worker's chain on standard output. */
  readonly stdoutHead: readonly [undefined, ChainHead];
  /** Answered when the lines are written. */
  readonly stdout: readonly [ChainedLines, undefined];
}

/** The end of the channel in the supervisor, and that in the worker. */
export type ToWorker = Channel<WorkerCalls, SupervisorCalls>;
export type ToSupervisor = Channel<SupervisorCalls, WorkerCalls>;
