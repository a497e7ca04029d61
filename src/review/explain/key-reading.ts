// Reading of an API key: its entry in the configuration, and the reason for which it verified or not.

import type { PolicyFile } from '../policy-file.ts';
import {
  type CredentialReading,
  instant,
  judged,
  list,
  notLookedAt,
  type ReadingContext,
  revokedBy,
} from './credential-reading.ts';

/** Reads a key. It is not repeated. */
export function readKey(key: string, context: ReadingContext): CredentialReading {
  const { snapshot } = context.policyFile;
  const found = judged(['api-key'], context);
  // A key of no authenticator is refused as a token.
  const all =
    found.state === 'not_looked_at' || found.state === 'verified'
      ? judged(['api-key', 'access-token'], context)
      : found;
  const owners = snapshot.authenticators.keys.byPrefix.filter(({ prefix }) => key.startsWith(prefix));
  const authenticator = all.authenticator ?? owners[0]?.name;
  const reading = { kind: 'API key' as const, ...all, authenticator };
  const entry = keyEntry(context, authenticator, all.id);
  const facts: Record<string, string> = {
    ...(entry && { clientId: entry.clientId, scopes: entry.scopes.join(' ') || 'none' }),
    ...(entry?.notBefore !== undefined && { notBefore: instant(entry.notBefore) }),
    ...(entry?.expires !== undefined && { expires: instant(entry.expires) }),
    ...(entry?.networks !== undefined && { networks: entry.networks.join(', ') }),
  };
  if (all.state === 'not_looked_at') return { ...reading, why: notLookedAt, facts };
  if (all.state === 'verified')
    return { ...reading, why: 'its hash is that of the key, and its dates and network hold', facts };
  return { ...reading, why: whyKey(all.reason!, owners.length > 0, entry, context, authenticator), facts };
}

type KeyEntry = NonNullable<
  Extract<PolicyFile['loaded']['config']['authenticators'][string], { type: 'apiKey' }>['keys']
>[number];

function keyEntry(
  { policyFile }: ReadingContext,
  authenticator: string | undefined,
  id: string | undefined,
): KeyEntry | undefined {
  const config = policyFile.loaded.config.authenticators[authenticator ?? ''];
  return config?.type === 'apiKey' ? config.keys?.find((each) => each.id === id) : undefined;
}

function whyKey(
  reason: string,
  hasPrefix: boolean,
  entry: KeyEntry | undefined,
  context: ReadingContext,
  authenticator: string | undefined,
): string {
  const config = context.policyFile.loaded.config.authenticators[authenticator ?? ''];
  const { keys } = context.policyFile.snapshot.authenticators;
  if (!hasPrefix) return `it begins like no key: prefixes are ${list(keys.byPrefix.map(({ prefix }) => prefix))}`;
  switch (reason) {
    case 'unknown':
      return `no key of "${authenticator}" has its hash: it was mistyped, cut or taken out of the file`;
    case 'expired':
      return `it expired at ${instant(entry?.expires)}`;
    case 'sunset':
      return `the sunset of "${authenticator}" was ${config?.type === 'apiKey' ? instant(config.sunset) : ''}: every key is refused`;
    case 'not_yet_valid':
      return `it is not valid before ${instant(entry?.notBefore)}`;
    case 'network':
      return `it may be used from ${list(entry?.networks)}, and the request comes from ${context.clientAddress}`;
    case 'revoked':
      return `the revocation list names it: ${revokedBy(context)}`;
    case 'sender_constraint':
      return 'the route takes only credentials that are bound to their sender, and a key never is';
    case 'not_accepted':
      return `it verified, but the route does not name authenticator "${authenticator}"`;
    default:
      return reason;
  }
}
