// Ledger of the limits that processes share (demarcation protocol): the units that were moved from one process to another.
import { equalShare, type LedgerMessage, type ShareMessage } from '../../limit-share.ts';

/** Dependencies of the ledger. */
export interface LimitLedgerOptions {
  /** Number of processes that share. */
  readonly of: number;
  /** Calls later, unless the returned function is called before. */
  readonly after: (ms: number, call: () => void) => () => void;
}

/** A process that has joined, until `leave`. */
export interface LedgerMember {
  receive(message: LedgerMessage): void;
  /** The process has ended: what it used is free. */
  leave(): void;
}

/** The ledger. */
export interface LimitLedger {
  /** Takes a process in whose number nobody has; `send` is told at once what was moved before, then what it has to answer. */
  join(number: number, send: (message: ShareMessage) => void): LedgerMember;
  /** Number of keys of which units are moved. */
  size(): number;
}

/** A process whose event loop stands still has nothing to give. */
const yieldTimeoutMs = 1000;
/** Keys of which units are moved. Each was used beyond an equal share within seconds. */
const maxKeys = 65_536;

interface Member {
  readonly number: number;
  readonly send: (message: ShareMessage) => void;
}

/** The search for units of a key on behalf of one process. */
interface Transfer {
  readonly id: number;
  readonly key: string;
  readonly max: number;
  readonly asker: Member;
  /** Processes that have not answered. */
  readonly waiting: Set<Member>;
  readonly cancel: () => void;
}

/** Creates a ledger of processes that have their equal shares. */
export function createLimitLedger({ after, of }: LimitLedgerOptions): LimitLedger {
  const members = new Map<number, Member>();
  /** By key, of each number. Their sum is 0. */
  const moved = new Map<string, number[]>();
  const transfers = new Map<string, Transfer>();
  const queues = new Map<string, Pick<Transfer, 'asker' | 'max'>[]>();
  let lastId = 0;

  function move(key: string, from: number, to: number, count: number): void {
    const units = moved.get(key) ?? new Array<number>(of).fill(0);
    units[from - 1]! -= count;
    units[to - 1]! += count;
    if (units.every((each) => each === 0)) moved.delete(key);
    else moved.set(key, units);
  }

  function grant(key: string, from: number, { number, send }: Member, count: number): void {
    move(key, from, number, count);
    send({ act: 'moved', key, count });
  }

  /** Nobody uses the units of a number that no process has. */
  function takeFromAbsent(key: string, max: number, asker: Member): boolean {
    let isFound = false;
    for (let number = 1; number <= of; number += 1) {
      if (members.has(number)) continue;
      const idle = equalShare({ number, of }, max) + (moved.get(key)?.[number - 1] ?? 0);
      if (idle <= 0) continue;
      grant(key, number, asker, Math.ceil(idle / 2));
      isFound = true;
    }
    return isFound;
  }

  function begin(key: string, asker: Member, max: number): void {
    const isFull = moved.size >= maxKeys && !moved.has(key);
    const waiting = new Set([...members.values()].filter((member) => member !== asker));
    if (isFull || takeFromAbsent(key, max, asker) || waiting.size === 0) {
      conclude(key, asker);
      return;
    }
    lastId += 1;
    const cancel = after(yieldTimeoutMs, () => end(transfer));
    const transfer: Transfer = { id: lastId, key, max, asker, waiting, cancel };
    transfers.set(key, transfer);
    for (const { send } of waiting) send({ act: 'yield', key, max, id: transfer.id });
  }

  function end({ asker, cancel, key }: Transfer): void {
    cancel();
    transfers.delete(key);
    conclude(key, asker);
  }

  function conclude(key: string, asker: Member): void {
    if (isPresent(asker)) asker.send({ act: 'settled', key });
    const queue = queues.get(key);
    const next = queue?.shift();
    if (queue?.length === 0) queues.delete(key);
    if (next !== undefined) begin(key, next.asker, next.max);
  }

  /** One transfer of a key at a time: the units of one are where they are used or idle before the next looks for them. */
  function want(key: string, asker: Member, max: number): void {
    const queue = queues.get(key) ?? [];
    if (!transfers.has(key)) begin(key, asker, max);
    else queues.set(key, [...queue, { asker, max }]);
  }

  function yielded(member: Member, key: string, id: number, count: number): void {
    const transfer = transfers.get(key);
    if (count > 0) {
      if (transfer !== undefined && transfer.asker !== member) grant(key, member.number, transfer.asker, count);
      else member.send({ act: 'moved', key, count });
    }
    if (transfer?.id !== id) return;
    transfer.waiting.delete(member);
    if (count > 0 || transfer.waiting.size === 0) end(transfer);
  }

  /** Units go back to those that they came from. */
  function returned(member: Member, key: string, count: number): void {
    let left = count;
    for (const [index, units] of [...(moved.get(key) ?? [])].entries()) {
      const back = Math.min(left, -units);
      if (back <= 0) continue;
      left -= back;
      move(key, member.number, index + 1, back);
      members.get(index + 1)?.send({ act: 'moved', key, count: back });
    }
  }

  function isPresent(member: Member): boolean {
    return members.get(member.number) === member;
  }

  function leave(member: Member): void {
    if (!isPresent(member)) return;
    members.delete(member.number);
    for (const [key, queue] of queues) {
      queues.set(
        key,
        queue.filter(({ asker }) => asker !== member),
      );
    }
    for (const transfer of [...transfers.values()]) {
      const { asker, key, max, waiting } = transfer;
      waiting.delete(member);
      if (asker === member || takeFromAbsent(key, max, asker) || waiting.size === 0) end(transfer);
    }
  }

  return {
    join(number, send) {
      const member: Member = { number, send };
      members.set(number, member);
      for (const [key, units] of moved) {
        const count = units[number - 1]!;
        if (count !== 0) send({ act: 'moved', key, count });
      }
      return {
        receive(message) {
          if (!isPresent(member)) return;
          const { act, key } = message;
          if (act === 'want') want(key, member, message.max);
          else if (act === 'yielded') yielded(member, key, message.id, message.count);
          else returned(member, key, message.count);
        },
        leave: () => leave(member),
      };
    },
    size: () => moved.size,
  };
}
