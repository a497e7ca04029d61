// Keys of the gateway's own, made once by the supervisor for all its workers: of sessions, TLS tickets (RFC 5077) and assertions.
import { createPrivateKey, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import type { AssertionConfig } from '../../config/schema/config.ts';
import type { SharedKeys } from '../../gateway/siblings.ts';
import { type AssertionKey, assertionKeyOf, createEphemeralKeys } from '../../upstream/identity/assertion-key.ts';
import { type AssertionAlgorithm, assertionAlgorithms } from '../../upstream/identity/facts.ts';

/** The keys at the supervisor, which a worker is told over the channel. */
export interface OwnKeys {
  /** 32 random bytes, from which workers derive their secrets. */
  readonly root: Buffer;
  /** The private key of an algorithm as PEM, made when it is first asked for. */
  assertionKey(algorithm: AssertionAlgorithm): string;
}

/** The part of a configuration that says which keys it needs. */
export interface AssertionNeeds {
  readonly upstreams: Readonly<Record<string, { readonly identity: { readonly assertion?: KeyNeeds | undefined } }>>;
}
type KeyNeeds = Pick<AssertionConfig, 'algorithm' | 'keyFiles'>;

/** The keys at a worker. */
export interface WorkerKeys extends SharedKeys {
  /** Fetches what a configuration needs. Called before it is prepared. */
  fetch(config: AssertionNeeds): Promise<void>;
}

/** Length of Node's `ticketKeys`: name, HMAC key and AES key. */
const ticketKeyBytes = 48;

/** Creates the keys of a supervisor. */
export function createOwnKeys(): OwnKeys {
  const keys = createEphemeralKeys();
  return {
    root: randomBytes(32),
    assertionKey: (algorithm) => keys(algorithm).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Opens the keys at a worker. `ask` is `assertionKey` of the supervisor. */
export function openOwnKeys(root: Uint8Array, ask: (algorithm: AssertionAlgorithm) => Promise<string>): WorkerKeys {
  const assertionKeys = new Map<AssertionAlgorithm, AssertionKey>();
  const derive = (purpose: string, bytes: number) => Buffer.from(hkdfSync('sha256', root, '', purpose, bytes));
  return {
    session: createSecretKey(derive('session', 32)),
    tickets: (hash) => derive(`tickets ${hash}`, ticketKeyBytes),
    assertion(algorithm) {
      const key = assertionKeys.get(algorithm);
      if (key === undefined) throw new Error(`no assertion key for ${algorithm} was fetched`);
      return key;
    },
    async fetch({ upstreams }) {
      const assertions = Object.values(upstreams).map(({ identity }) => identity.assertion);
      for (const algorithm of assertionAlgorithms) {
        if (assertionKeys.has(algorithm)) continue;
        if (!assertions.some((each) => each?.keyFiles.length === 0 && each.algorithm === algorithm)) continue;
        assertionKeys.set(algorithm, assertionKeyOf(createPrivateKey(await ask(algorithm)), algorithm));
      }
    },
  };
}
