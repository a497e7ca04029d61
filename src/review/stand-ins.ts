// Stand-ins for the certificates, keys and secrets of a configuration, so that its policy is reviewed where they are not.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { StandIns } from '../config/files/stand-ins.ts';
import { formatPath } from '../config/problem.ts';
import { valueAt } from '../config/tree.ts';
import { createCertificateAuthority } from '../pki/authority.ts';

const hourMs = 3_600_000;
const keyMakers: Readonly<Record<string, (algorithm: unknown) => string>> = {
  keyFiles: privateKey,
  clientKeyFile: privateKey,
  sessionKeyFiles: () => randomBytes(32).toString('base64'),
};
const certificateParts: Readonly<Record<string, keyof Awaited<ReturnType<typeof createCertificates>>>> = {
  certFile: 'certificatePem',
  keyFile: 'keyPem',
  caFile: 'authority',
  clientCaFile: 'authority',
  clientCrlFile: 'crl',
};

/** Fresh stand-ins. */
export interface UsedStandIns extends StandIns {
  /** Places in the configuration of what was not at hand, in its order. */
  readonly places: readonly string[];
}

/**
 * Creates them. No decision on a made-up request depends on what they stand for. Nothing stands in for a catalogue or a shadow. A keys file that is not
 * at hand has no keys, unless they are what is reviewed, and a revocation list that is not at hand revokes nothing.
 */
export function createStandIns(now: () => number, { keysAreReviewed = false } = {}): UsedStandIns {
  const places: string[] = [];
  let certificates: ReturnType<typeof createCertificates> | undefined;
  /** By key, position in its list and algorithm: the files of two configurations are compared by their contents. */
  const keys = new Map<string, string>();
  return {
    places,
    value: 'stand-in',
    used: (path) => void places.push(formatPath(path)),
    async contentFor(path, tree) {
      const key = String(path.findLast((step) => typeof step === 'string'));
      const create = keyMakers[key];
      if (path.includes('sign') || create !== undefined) {
        const algorithm = valueAt(tree, [...path.slice(0, -2), 'algorithm']);
        const name = JSON.stringify([key, path.at(-1), algorithm]);
        const content = keys.get(name) ?? (create ?? privateKey)(algorithm);
        keys.set(name, content);
        return Buffer.from(content);
      }
      if (key === 'keysFile') return keysAreReviewed ? undefined : Buffer.from('[]');
      const part = certificateParts[key];
      if (part === undefined) return undefined;
      certificates ??= createCertificates(now());
      return Buffer.from((await certificates)[part]);
    },
  };
}

/** Sentences about the places. */
export function notesOn(places: readonly string[]): string[] {
  const [first] = places;
  if (first === undefined) return [];
  const [more, verb] = places.length === 1 ? ['', 'is'] : [` and ${places.length - 1} more`, 'are'];
  return [
    `${first}${more} ${verb} not at hand; stand-ins take their place, and no decision on a made-up request rests on them`,
    ...places.filter((place) => place.endsWith('.keysFile')).map((place) => `no key of ${place} is known`),
    ...places.filter((place) => place === 'revocation.file').map((place) => `without ${place} nothing is revoked`),
  ];
}

async function createCertificates(now: number) {
  const validity = { notBefore: new Date(now - hourMs), notAfter: new Date(now + hourMs) };
  const authority = await createCertificateAuthority({ commonName: 'Stand-in', ...validity });
  const { certificatePem, keyPem } = await authority.issue({ commonName: 'stand-in', server: true, ...validity });
  const crl = await authority.revoke([], { nextUpdate: new Date(now + hourMs / 2) });
  return { authority: authority.certificatePem, crl, certificatePem, keyPem };
}

/** PEM of a key for a JWS algorithm, by default ES256. */
function privateKey(algorithm: unknown): string {
  const { privateKey } =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : algorithm === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}
