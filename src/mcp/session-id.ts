// Session ids sealed for their principal: the upstream's id behind a keyed check (HMAC) over endpoint, principal and id.
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

/** The principal behind a request. Its sessions belong to its subject: a refreshed token continues them, and so does another client of a person. */
export interface SessionPrincipal {
  readonly kind: 'oauth' | 'api-key' | 'mtls';
  readonly issuer: string;
  readonly clientId: string | undefined;
  readonly subject: string;
}

/** Key of the subject that sessions belong to. */
export type SubjectKey = (principal: SessionPrincipal) => string;

/** Where a session is valid. */
export interface SessionEndpoint {
  readonly route: string;
  readonly upstream: string;
}

export type OpenedSessionId =
  | { readonly kind: 'opened'; readonly upstreamId: string }
  /** Sealed by one of the keys for this endpoint, but for another principal. `mark` as `markOf` has it. */
  | { readonly kind: 'another_principal'; readonly mark: string }
  /** Altered, cut off, of another endpoint, of a key that is not in use, or never sealed at all: nothing tells these apart. */
  | { readonly kind: 'not_sealed' };

/**
 * `seal` is deterministic: the same id for the same principal is the same text as long as the first key stays.
 * A sealed id is `<check><opener>.<upstream's id>`, 65 visible ASCII characters before it:
 * check = HMAC-SHA-256(key, "seal", route, upstream, opener, id), 240 bits of it; opener = HMAC-SHA-256(key, "opener", key of the subject), 144
 * bits, so that an id in the wrong hands can be told from one that was made up. Neither tells who the opener is.
 */
export interface SessionIds {
  /** Throws an Error unless the id is visible ASCII (MCP 2025-11-25, "Session Management") of at most 2048 characters. */
  seal(upstreamId: string, principal: SessionPrincipal | undefined): string;
  /** Compares in constant time. Never throws, whatever the text. */
  open(sealed: string, principal: SessionPrincipal | undefined): OpenedSessionId;
}

const maxIdLength = 2048;
const checkLength = 40;
const openerLength = 24;
const headLength = checkLength + openerLength;
const markLength = 16;
const separator = '.';
const visibleAscii = /^[\x21-\x7e]+$/;

/** The first of the keys seals, all of them open. `principal` undefined: sessions of callers without a name belong to the endpoint alone. */
export function createSessionIds(
  keys: readonly KeyObject[],
  endpoint: SessionEndpoint,
  subjectKey: SubjectKey,
): SessionIds {
  const sealers = keys.map((key) => createSealer(key, endpoint, subjectKey));
  const [first] = sealers;
  if (first === undefined) throw new Error('a session id needs a key');
  /** The id that each principal opened last, because a check costs as much as the rest of the session's handling. */
  const lastOpened = new WeakMap<SessionPrincipal, { readonly sealed: string; readonly opened: OpenedSessionId }>();

  function open(sealed: string, principal: SessionPrincipal | undefined): OpenedSessionId {
    const upstreamId = sealed.slice(headLength + separator.length);
    if (!isSessionId(upstreamId) || !visibleAscii.test(sealed) || sealed[headLength] !== separator) return notSealed;
    const check = sealed.slice(0, checkLength);
    const opener = sealed.slice(checkLength, headLength);
    for (const sealer of sealers) {
      if (!equal(check, sealer.check(opener, upstreamId))) continue;
      // The check holds, so the id was made here: openers cannot be guessed.
      const isOwn = opener === sealer.opener(principal);
      return isOwn ? { kind: 'opened', upstreamId } : { kind: 'another_principal', mark: markOf(sealed) };
    }
    return notSealed;
  }

  return {
    seal(upstreamId, principal) {
      if (!isSessionId(upstreamId)) throw new Error('the session id is no visible ASCII, or too long');
      const opener = first.opener(principal);
      return first.check(opener, upstreamId) + opener + separator + upstreamId;
    },
    open(sealed, principal) {
      if (principal === undefined) return open(sealed, principal);
      const last = lastOpened.get(principal);
      if (last?.sealed === sealed) return last.opened;
      const opened = open(sealed, principal);
      if (opened.kind === 'opened') lastOpened.set(principal, { sealed, opened });
      return opened;
    },
  };
}

/** The mark of a sealed id in records: enough of its check to be unique, too little to use it. */
export function markOf(sealed: string): string {
  return sealed.slice(0, markLength);
}

const notSealed: OpenedSessionId = { kind: 'not_sealed' };

interface Sealer {
  check(opener: string, upstreamId: string): string;
  opener(principal: SessionPrincipal | undefined): string;
}

function createSealer(key: KeyObject, { route, upstream }: SessionEndpoint, subjectKey: SubjectKey): Sealer {
  const place = fields('portcullis session seal 1', route, upstream);
  /** Made once for each principal that has a session: a cached token comes with the same principal every time. */
  const openers = new WeakMap<SessionPrincipal, string>();
  const makeOpener = (...subject: readonly string[]): string =>
    digest(key, fields('portcullis session opener 2', ...subject)).slice(0, openerLength);
  const nobody = makeOpener();
  return {
    // The text before the id has a fixed length for each endpoint, so nothing can move between it and the id.
    check: (opener, upstreamId) => digest(key, place + opener + upstreamId).slice(0, checkLength),
    opener(principal) {
      if (principal === undefined) return nobody;
      let opener = openers.get(principal);
      if (opener === undefined) {
        opener = makeOpener(subjectKey(principal));
        openers.set(principal, opener);
      }
      return opener;
    },
  };
}

/**
 * Every text behind its length, so that no character can move from one field into the next; UTF-16, in which no two texts are the same bytes.
 * A character a byte.
 */
function fields(...texts: readonly string[]): string {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text, 'utf16le');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString('latin1');
}

/** Of bytes, each a character: one text is hashed faster than several pieces. */
function digest(key: KeyObject, bytes: string): string {
  return createHmac('sha256', key).update(bytes, 'latin1').digest('base64url');
}

function isSessionId(text: string): boolean {
  return text.length <= maxIdLength && visibleAscii.test(text);
}

/** Both are ASCII of the same length. */
function equal(given: string, made: string): boolean {
  return timingSafeEqual(Buffer.from(given, 'latin1'), Buffer.from(made, 'latin1'));
}
