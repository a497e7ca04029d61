// Names of what can be revoked, as the configuration knows them.
import type { Config } from '../../config/schema/config.ts';
import { suggestion } from '../../config/schema/suggestion.ts';

/** Credentials to revoke. Names may be qualified, as `authenticator/value`. */
export interface Revocation {
  readonly key: readonly string[];
  readonly client: readonly string[];
  readonly subject: readonly string[];
  readonly jti: readonly string[];
  /** Serial numbers and fingerprints. */
  readonly certificate: readonly string[];
  readonly issuedBefore?: string;
}

/** Credentials that the configuration names. */
export interface KnownCredentials {
  readonly keys: readonly { readonly authenticator: string; readonly id: string; readonly clientId: string }[];
  readonly certificates: readonly {
    readonly authenticator: string;
    readonly name: string;
    readonly clientId: string | undefined;
  }[];
  /** Authenticators whose tokens can name any client. */
  readonly tokens: readonly string[];
}

/** Collects them. */
export function knownCredentials({ authenticators }: Config): KnownCredentials {
  const all = Object.entries(authenticators);
  return {
    keys: all.flatMap(([authenticator, config]) =>
      config.type === 'apiKey' ? (config.keys ?? []).map(({ id, clientId }) => ({ authenticator, id, clientId })) : [],
    ),
    certificates: all.flatMap(([authenticator, config]) =>
      config.type === 'mtls'
        ? config.allow.map((entry) => {
            const { clientId, scopes: _, ...names } = entry;
            return { authenticator, name: Object.values(names).join(' '), clientId };
          })
        : [],
    ),
    tokens: all.flatMap(([authenticator, { type }]) =>
      type === 'jwt' || type === 'introspection' ? [authenticator] : [],
    ),
  };
}

/** A sentence for each name that no request could have. */
export function unknownNames({ key, client }: Revocation, { keys, certificates, tokens }: KnownCredentials): string[] {
  const keyNames = keys.flatMap(({ authenticator, id }) => [id, `${authenticator}/${id}`]);
  const clientNames = [...keys, ...certificates].flatMap(({ authenticator, clientId }) =>
    clientId === undefined ? [] : [clientId, `${authenticator}/${clientId}`],
  );
  const unknownKeys = key.filter((name) => !keyNames.includes(name));
  // Tokens may name any client, but hardly one that is spelt nearly as a configured one.
  const unknownClients = client.filter((name) => !clientNames.includes(name));
  return [
    ...unknownKeys.map((name) => `there is no key "${name}"${suggestion(name, keyNames)}`),
    ...unknownClients.flatMap((name) => {
      const near = suggestion(name, clientNames);
      return tokens.length > 0 && near === '' ? [] : [`no key and no certificate is of a client "${name}"${near}`];
    }),
  ];
}

/** A line for each name: the credentials that it stands for. */
export function describeRevocation(revocation: Revocation, known: KnownCredentials | undefined): string[] {
  const isNamed = (name: string, authenticator: string, id: string | undefined) =>
    id !== undefined && (name === id || name === `${authenticator}/${id}`);
  const keyLines = revocation.key.map((name) => {
    const found = known?.keys.filter(({ authenticator, id }) => isNamed(name, authenticator, id)) ?? [];
    return `key ${name}${found.length === 0 ? '' : ` of ${found.map(({ authenticator, clientId }) => `${clientId} (${authenticator})`).join(', ')}`}`;
  });
  const clientLines = revocation.client.map((name) => {
    const keys = known?.keys
      .filter((each) => isNamed(name, each.authenticator, each.clientId))
      .map(({ id }) => `key ${id}`);
    const certificates = known?.certificates
      .filter((each) => isNamed(name, each.authenticator, each.clientId))
      .map((each) => `certificate ${each.name}`);
    const stands = [...(keys ?? []), ...(certificates ?? []), 'every token'];
    return `client ${name}: ${stands.join(', ')}`;
  });
  return [
    ...keyLines,
    ...clientLines,
    ...revocation.subject.map((name) => `subject ${name}: every token, and every certificate of that identity`),
    ...revocation.jti.map((name) => `token ${name}`),
    ...revocation.certificate.map((name) => `certificate ${name}`),
    ...(revocation.issuedBefore === undefined ? [] : [`every token issued before ${revocation.issuedBefore}`]),
  ];
}
