// Presets of well-known authorization servers: defaults of JWT authenticators, which every key that is written overrides.
import type { z } from 'zod';
import { isJsonObject } from './compact-jws.ts';
import type { SignatureAlgorithm } from './jwk.ts';
import type { tokenKeys } from './token-config.ts';

interface JwtDefaults extends Partial<z.input<z.ZodObject<typeof tokenKeys>>> {
  readonly algorithms?: SignatureAlgorithm[];
  readonly tokenTypes?: string[];
}

/** Defaults for the tokens of one kind of issuer. */
export interface IssuerPreset {
  readonly defaults: JwtDefaults;
  /** The form of its issuers; others are warned of, since a preset for the wrong server refuses every token or accepts the wrong ones. */
  readonly issuerForm: RegExp;
  readonly issuerExample: string;
}

export const issuerPresetNames = ['auth0', 'entra', 'okta', 'keycloak', 'google', 'cognito'] as const;
export type IssuerPresetName = (typeof issuerPresetNames)[number];

const tenantId = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}';

export const issuerPresets: Readonly<Record<IssuerPresetName, IssuerPreset>> = {
  // Both token profiles: the older one says JWT and names the client in azp. ID tokens have the client as audience.
  auth0: {
    defaults: {
      tokenTypes: ['at+jwt', 'JWT'],
      algorithms: ['RS256', 'PS256'],
      scopeClaims: ['scope', 'permissions'],
      clientIdClaims: ['client_id', 'azp'],
      requireClientId: true,
      claims: { tenant: 'org_id', grant: 'gty' },
    },
    issuerForm: /^https:\/\/[^/]+\/$/,
    issuerExample: 'https://TENANT.auth0.com/',
  },
  // Tokens are for an application, by its id or its api:// URI. An application's own roles count where nobody is signed in (no scp);
  // beside scp they are the user's, who may have delegated less. ID tokens have neither azp nor appid. Scopes are asked for
  // as api://APP-ID/x, and tokens have x: that is the application's own scopePrefix.
  entra: {
    defaults: {
      tokenTypes: ['JWT'],
      algorithms: ['RS256'],
      audienceForm: 'identifier',
      scopeClaims: ['scp', 'roles'],
      scopesFrom: 'first',
      clientIdClaims: ['azp', 'appid'],
      requireClientId: true,
      claims: { tenant: 'tid', objectId: 'oid', username: 'preferred_username' },
    },
    issuerForm: new RegExp(
      `^https://(?:login\\.(?:microsoftonline\\.(?:com|us)|partner\\.microsoftonline\\.cn)/${tenantId}/v2\\.0|sts\\.(?:windows\\.net|chinacloudapi\\.cn)/${tenantId}/)$`,
    ),
    issuerExample: 'https://login.microsoftonline.com/TENANT-ID/v2.0',
  },
  // Custom authorization servers, whose tokens have no typ; those of the organization's own server are for Okta alone. ID tokens have no cid.
  okta: {
    defaults: {
      tokenTypes: ['at+jwt', 'none'],
      algorithms: ['RS256'],
      scopeClaims: ['scp'],
      clientIdClaims: ['cid'],
      requireClientId: true,
      claims: { groups: 'groups', userId: 'uid' },
    },
    issuerForm: /^https:\/\/[^/]+\/oauth2\/[^/]+$/,
    issuerExample: 'https://DOMAIN.okta.com/oauth2/SERVER-ID',
  },
  // ID tokens and refresh tokens are JWTs of the same typ header; a claim of that name tells them apart.
  keycloak: {
    defaults: {
      tokenTypes: ['JWT', 'at+jwt'],
      scopeClaims: ['scope'],
      clientIdClaims: ['azp'],
      requireClientId: true,
      requiredClaims: { typ: ['Bearer', 'DPoP'] },
      claims: { username: 'preferred_username', groups: 'groups' },
    },
    issuerForm: /^https?:\/\/.+\/realms\/[^/]+$/,
    issuerExample: 'https://HOST/realms/REALM',
  },
  // Google's access tokens are opaque and are not introspected by others. For a resource it signs only ID tokens of service accounts,
  // with the resource as audience; the sign-in ID tokens have a client as audience.
  google: {
    defaults: {
      tokenTypes: ['JWT'],
      algorithms: ['RS256'],
      scopeClaims: ['scope'],
      clientIdClaims: ['azp'],
      requireClientId: true,
      claims: { email: 'email', domain: 'hd' },
    },
    issuerForm: /^https:\/\/accounts\.google\.com$/,
    issuerExample: 'https://accounts.google.com',
  },
  // Access tokens have no typ, and no aud unless a resource was asked for; ID tokens have the client as audience.
  cognito: {
    defaults: {
      tokenTypes: ['none'],
      algorithms: ['RS256'],
      audienceForm: 'clientId',
      scopeClaims: ['scope'],
      clientIdClaims: ['client_id'],
      requireClientId: true,
      requiredClaims: { token_use: ['access'] },
      claims: { username: 'username', groups: 'cognito:groups' },
    },
    issuerForm: /^https:\/\/cognito-idp\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?\/[A-Za-z0-9_-]+$/,
    issuerExample: 'https://cognito-idp.REGION.amazonaws.com/POOL-ID',
  },
};

/** A copy whose authenticators have what their preset adds; an unknown preset is left to the schema. */
export function withIssuerPresets(tree: unknown): unknown {
  if (!isJsonObject(tree) || !isJsonObject(tree.authenticators)) return tree;
  const authenticators = Object.entries(tree.authenticators).map(([name, written]) => [name, completed(written)]);
  return { ...tree, authenticators: Object.fromEntries(authenticators) };
}

function completed(written: unknown): unknown {
  if (!isJsonObject(written) || written.type !== 'jwt') return written;
  const name = issuerPresetNames.find((each) => each === written.preset);
  return name === undefined ? written : { ...issuerPresets[name].defaults, ...written };
}
