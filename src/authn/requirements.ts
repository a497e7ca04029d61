// What a route demands of its callers, compiled from `authenticate` and `certificateFor` once.
import type { AuthenticateConfig, Config } from '../config/schema/config.ts';
import type { Verified } from './authenticator.ts';
import type { Caller } from './principal.ts';
import { compileImplications, type WidenScopes } from './scopes.ts';

export interface AuthenticatePlan {
  /** `none`: no credential is looked at. */
  readonly kind: 'none' | 'required';
  /** The authenticators that the route names; others' tokens and keys are refused on it. */
  readonly named: ReadonlySet<string>;
  /** The first whose members have all verified something satisfies the route; none at all can satisfy an empty list. */
  readonly alternatives: readonly (readonly string[])[];
  /** Names of the certificate verifiers in the order in which a certificate is shown to them: the route's, then the others. */
  readonly certificateVerifiers: readonly string[];
  /** Client ids, bare or as `authenticator/clientId`, whose tokens and keys need a certificate beside them. */
  readonly certificateFor: ReadonlySet<string>;
  /** What the scopes that the credentials grant together imply is granted with them. */
  readonly widenScopes: WidenScopes;
  /** Only bound tokens, and certificates that act by themselves. */
  readonly senderConstrained: boolean;
  /** The introspection authenticator of the route: tokens that do not tell their issuer are its. */
  readonly opaqueOwner: string | undefined;
  /** Public: what a caller without credentials must present. */
  readonly demand: string;
  /** Callers by the token or key that they came with alone: a verification that is remembered gives the same one each time. */
  readonly callers: WeakMap<Verified, Caller>;
}

const kindNames = {
  jwt: 'an access token',
  introspection: 'an access token',
  apiKey: 'an API key',
  mtls: 'a client certificate',
} as const;

/** Compiles a route's demands. Throws an Error when an authenticator is named that there is none of. */
export function compileAuthenticate(
  route: {
    readonly authenticate: AuthenticateConfig;
    readonly certificateFor?: readonly string[] | undefined;
    readonly senderConstraint?: 'optional' | 'required' | undefined;
  },
  config: Pick<Config, 'authenticators'> & Partial<Pick<Config, 'scopeImplies'>>,
): AuthenticatePlan {
  const named = new Set(authenticatorNamesOf(route.authenticate));
  for (const name of named) {
    if (!Object.hasOwn(config.authenticators, name)) throw new Error(`unknown authenticator "${name}"`);
  }
  const alternatives = alternativesOf(route.authenticate);
  const verifiers = Object.keys(config.authenticators).filter((name) => config.authenticators[name]?.type === 'mtls');
  return {
    kind: route.authenticate === 'none' ? 'none' : 'required',
    named,
    alternatives,
    certificateVerifiers: [
      ...[...named].filter((name) => verifiers.includes(name)),
      ...verifiers.filter((name) => !named.has(name)),
    ],
    certificateFor: new Set(route.certificateFor),
    widenScopes: compileImplications(config.scopeImplies ?? {}),
    senderConstrained: route.senderConstraint === 'required',
    opaqueOwner: [...named].find((name) => config.authenticators[name]?.type === 'introspection'),
    demand: describe(alternatives, config),
    callers: new WeakMap(),
  };
}

/** Every authenticator that `authenticate` names, optional ones included, each once and in order. */
export function authenticatorNamesOf(authenticate: AuthenticateConfig): string[] {
  const optional = typeof authenticate === 'string' ? [] : (authenticate.optional ?? []);
  return [...new Set([...alternativesOf(authenticate).flat(), ...optional])];
}

/** `anyOf` beside `allOf`: one of the alternatives, and all of those. */
function alternativesOf(authenticate: AuthenticateConfig): readonly (readonly string[])[] {
  if (authenticate === 'none') return [];
  if (typeof authenticate === 'string') return [[authenticate]];
  const { anyOf, allOf } = authenticate;
  if (anyOf === undefined) return allOf === undefined ? [] : [allOf];
  return anyOf.map((alternative) => [
    ...new Set([...(typeof alternative === 'string' ? [alternative] : alternative.allOf), ...(allOf ?? [])]),
  ]);
}

/** Names kinds and no names of authenticators, which are the operator's. */
function describe(alternatives: readonly (readonly string[])[], config: Pick<Config, 'authenticators'>): string {
  const texts = alternatives.map((members) => {
    const kinds = members.flatMap((name) => config.authenticators[name]?.type ?? []);
    return [...new Set(kinds.map((kind) => kindNames[kind]))].join(' and ');
  });
  return [...new Set(texts)].join(', or ');
}
