// Sessions of people who logged in to the console: in memory, bounded for each person and in all, with an idle and an absolute end.
import { createHash, randomBytes } from 'node:crypto';
import type { SessionIdentity } from './request.ts';

/** A session. Only the browser has its id. */
export interface Session {
  readonly identity: SessionIdentity;
  /** The same for all sessions of one person. */
  readonly person: string;
  readonly startedMs: number;
  usedMs: number;
}

/** The sessions of one process. */
export interface Sessions {
  /** Begins one and gives its id, which is new: nobody can have it before the log-in. A person's oldest makes room for it. */
  begin(identity: SessionIdentity, person: string): string;
  /** The session with this id, unless it has ended. `isUse` keeps it from idling. */
  find(id: string | undefined, isUse: boolean): Session | undefined;
  end(id: string): void;
}

/** As OWASP has it for what is of high value, between comfort and an unattended screen. */
export const sessionLimits = { idleMs: 30 * 60_000, absoluteMs: 10 * 3_600_000, ofPerson: 5, inAll: 500 };

/** Creates an empty store. Ids are kept as digests, so that a look at the memory or its lookups gives none away. */
export function createSessions(now: () => number): Sessions {
  const sessions = new Map<string, Session>();

  function hasEnded({ startedMs, usedMs }: Session): boolean {
    const time = now();
    // A clock that was set back prolongs nothing.
    if (time < startedMs) return true;
    return time >= usedMs + sessionLimits.idleMs || time >= startedMs + sessionLimits.absoluteMs;
  }

  function makeRoom(person: string): void {
    for (const [key, session] of sessions) if (hasEnded(session)) sessions.delete(key);
    // A Map is in the order of its additions: the first is the oldest.
    const own = [...sessions].filter(([, session]) => session.person === person);
    if (own.length >= sessionLimits.ofPerson) sessions.delete(own[0]![0]);
    if (sessions.size >= sessionLimits.inAll) sessions.delete(sessions.keys().next().value!);
  }

  return {
    begin(identity, person) {
      makeRoom(person);
      const id = randomBytes(32).toString('base64url');
      sessions.set(digest(id), { identity, person, startedMs: now(), usedMs: now() });
      return id;
    },
    find(id, isUse) {
      if (id === undefined) return undefined;
      const key = digest(id);
      const session = sessions.get(key);
      if (session === undefined) return undefined;
      if (hasEnded(session)) {
        sessions.delete(key);
        return undefined;
      }
      if (isUse) session.usedMs = now();
      return session;
    },
    end: (id) => void sessions.delete(digest(id)),
  };
}

function digest(id: string): string {
  return createHash('sha256').update(id).digest('base64');
}
