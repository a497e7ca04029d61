// Hand-over of accepted connections to workers. None is lost when a worker ends before it has taken it.
import type { Socket } from 'node:net';
import { callerNetwork, plainAddress, unixPeer } from '../ip-ranges.ts';
import { createKeyedCounts } from '../keyed-counts.ts';

/** Options of `createHandOver`. */
export interface HandOverOptions {
  readonly peerAddress: (socket: Socket) => string;
  /** True for peers whose connections are not counted by address. */
  readonly isExempt: (peer: string) => boolean;
  /** Bounds over all workers, and of the time for which a connection waits for one. */
  readonly limits: () => {
    readonly connections: number;
    readonly connectionsPerAddress: number;
    readonly receiveTimeout: number;
  };
  readonly refused: (reason: 'overloaded' | 'connections_per_address', address: string) => void;
}

/** Takes a socket; resolves once it has it, and rejects when it never will. */
export type Take = (id: number, socket: Socket) => Promise<unknown>;

/** A worker as the hand-over knows it. */
export interface ConnectionReceiver {
  /** Gets no more connections. */
  retire(): void;
  /** A connection that it had is closed. */
  closed(id: number): void;
  /** Has ended, and its connections with it. */
  remove(): void;
  /** Connections that are open. */
  size(): number;
}

/** The connections of all workers. */
export interface HandOver {
  /** Hands a connection to the worker that has the fewest, or keeps it until a worker takes some. Closes one beyond the limits. */
  accept(socket: Socket): void;
  add(take: Take): ConnectionReceiver;
  /** Closes the connections that wait. */
  close(): void;
}

interface Connection {
  readonly id: number;
  readonly socket: Socket;
  /** Undefined where it is not counted by address. */
  readonly address: string | undefined;
  isOpen: boolean;
}

interface Member {
  readonly take: Take;
  readonly open: Map<number, Connection>;
  /** Handed over and not taken yet. A worker that hangs stays behind here, and others get the next ones. */
  untaken: number;
  isGiven: boolean;
}

/** Messages to a worker are queued behind the sockets that it has not taken. */
const maxUntaken = 32;

/** Creates the hand-over without a worker. */
export function createHandOver({ isExempt, limits, peerAddress, refused }: HandOverOptions): HandOver {
  const byAddress = createKeyedCounts(() => ({ open: 0 }));
  const members = new Set<Member>();
  const waiting = new Set<Connection>();
  let open = 0;
  let lastId = 0;

  /** Undefined for one that is closed since it is beyond a limit. */
  function accepted(socket: Socket): Connection | undefined {
    const peer = plainAddress(peerAddress(socket));
    const address = peer === unixPeer || isExempt(peer) ? undefined : callerNetwork(peer);
    const { connections, connectionsPerAddress } = limits();
    const isOfAddress = address !== undefined && byAddress.of(address).open >= connectionsPerAddress;
    if (isOfAddress || open >= connections) {
      socket.destroy();
      refused(isOfAddress ? 'connections_per_address' : 'overloaded', address ?? peer);
      return undefined;
    }
    open += 1;
    if (address !== undefined) byAddress.of(address).open += 1;
    lastId += 1;
    return { id: lastId, socket, address, isOpen: true };
  }

  function release(connection: Connection): void {
    const { address } = connection;
    connection.isOpen = false;
    open -= 1;
    if (address !== undefined) byAddress.of(address).open -= 1;
  }

  function next(): Member | undefined {
    let best: Member | undefined;
    for (const member of members) {
      if (!member.isGiven || member.untaken >= maxUntaken) continue;
      const isBetter =
        best === undefined ||
        member.untaken < best.untaken ||
        (member.untaken === best.untaken && member.open.size < best.open.size);
      if (isBetter) best = member;
    }
    return best;
  }

  async function give(connection: Connection, member: Member): Promise<void> {
    member.untaken += 1;
    // To the end: among equals the turn goes round.
    members.delete(member);
    members.add(member);
    member.open.set(connection.id, connection);
    try {
      await member.take(connection.id, connection.socket);
      // The worker has a descriptor of its own.
      connection.socket.destroy();
      member.untaken -= 1;
    } catch {
      member.isGiven = false;
      member.open.delete(connection.id);
      if (!connection.isOpen) return void connection.socket.destroy();
      wait(connection);
    }
    giveAll();
  }

  /** Nothing is read from it, so that nobody sees its client leave: the wait is bounded in time. */
  function wait(connection: Connection): void {
    waiting.add(connection);
    connection.socket.setTimeout(limits().receiveTimeout);
  }

  function drop(connection: Connection): void {
    waiting.delete(connection);
    connection.socket.destroy();
    release(connection);
  }

  function giveAll(): void {
    for (const connection of waiting) {
      const member = next();
      if (member === undefined) return;
      waiting.delete(connection);
      connection.socket.setTimeout(0);
      void give(connection, member);
    }
  }

  return {
    accept(socket) {
      socket.on('error', () => {});
      const connection = accepted(socket);
      if (connection === undefined) return;
      socket.on('timeout', () => {
        drop(connection);
        refused('overloaded', connection.address ?? '');
      });
      const member = next();
      if (member === undefined) wait(connection);
      else void give(connection, member);
    },
    add(take) {
      const member: Member = { take, open: new Map(), untaken: 0, isGiven: true };
      members.add(member);
      giveAll();
      return {
        retire: () => {
          member.isGiven = false;
        },
        closed(id) {
          const connection = member.open.get(id);
          if (connection === undefined) return;
          member.open.delete(id);
          release(connection);
        },
        remove() {
          member.isGiven = false;
          members.delete(member);
          // Those that were not taken come back by themselves.
          for (const connection of member.open.values()) if (connection.socket.destroyed) release(connection);
          member.open.clear();
        },
        size: () => member.open.size,
      };
    },
    close() {
      for (const connection of waiting) drop(connection);
    },
  };
}
