// Open streams by route, client and credentials, for `/status`.
import type { LiveStream } from '../runtime.ts';

/** Streams that have all of these in common. */
export interface StreamGroup {
  readonly route: string;
  readonly clientId: string | undefined;
  /** Of the principal and of the certificate beside it: `jti`, key id, fingerprint. */
  readonly credentialIds: readonly string[];
  count: number;
}

const maxGroups = 1000;

/** The groups, as many as an answer may hold; `streamsOmitted` where there are more. */
export function groupStreams(streams: Iterable<LiveStream>): {
  streams: readonly StreamGroup[];
  streamsOmitted: boolean;
} {
  const groups = new Map<string, StreamGroup>();
  let streamsOmitted = false;
  for (const { authorization } of streams) {
    const { caller, route } = authorization;
    const ids = [caller?.principal.credentialId, caller?.certificate?.credentialId];
    const credentialIds = ids.filter((id) => id !== undefined);
    const clientId = caller?.principal.clientId;
    const key = JSON.stringify([route.name, clientId, credentialIds]);
    const group = groups.get(key);
    if (group !== undefined) group.count += 1;
    else if (groups.size < maxGroups) groups.set(key, { route: route.name, clientId, credentialIds, count: 1 });
    else streamsOmitted = true;
  }
  return { streams: [...groups.values()], streamsOmitted };
}
