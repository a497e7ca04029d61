// Shadow: another configuration, compiled as far as its decisions go. It is decided beside the one in force, and never enforced.
import { isDeepStrictEqual } from 'node:util';
import type { AuthenticatorRuntime } from '../authn/authenticator-type.ts';
import type { OtherRoute } from '../authn/caller/other-caller.ts';
import { type AuthenticatorSet, createAuthenticators } from '../authn/registry.ts';
import { compileRequirements } from '../authn/requirements.ts';
import type { LoadedConfig, LoadedShadow } from '../config/load.ts';
import type { Config } from '../config/schema/config.ts';
import { compileRoutes, type RouteMatch, type RoutePattern } from '../http/route-matcher.ts';
import type { Policy } from '../policy/rule.ts';
import { methodsOf } from './route.ts';

/** A route of a shadow. */
export interface ShadowRoute extends RoutePattern, OtherRoute {
  readonly policy: Policy;
  readonly isMcp: boolean;
}

/** The compiled form of a shadow. Its authenticators fetch nothing. */
export interface Shadow {
  readonly loaded: LoadedConfig;
  /** The problem of its file, in which case this is the last good state of it. */
  readonly problem: string | undefined;
  readonly match: (method: string, path: string) => RouteMatch<ShadowRoute>;
  readonly authenticators: AuthenticatorSet;
  /** False where its listener could see another client certificate, or none. */
  readonly seesSameCertificates: boolean;
}

/** The part of a snapshot that its shadow is compiled beside. */
interface Beside {
  readonly config: Config;
  readonly authenticators: AuthenticatorSet;
}

/** Compiles the shadow of a configuration. While its file cannot be used, the last good state of that file goes on. Throws an Error where there is none. */
export function openShadow(
  given: LoadedShadow | undefined,
  runtime: AuthenticatorRuntime,
  live: Beside,
  previous: Shadow | undefined,
): Shadow | undefined {
  if (given === undefined) return undefined;
  try {
    if (given.loaded instanceof Error) throw given.loaded;
    return compileShadow(given.loaded, runtime, live, undefined);
  } catch (error) {
    if (previous?.loaded.file !== given.file) throw new Error(`shadow: ${(error as Error).message}`, { cause: error });
    return compileShadow(previous.loaded, runtime, live, (error as Error).message);
  }
}

function compileShadow(
  loaded: LoadedConfig,
  runtime: AuthenticatorRuntime,
  live: Beside,
  problem: string | undefined,
): Shadow {
  const { config, policies } = loaded;
  const authenticators = createAuthenticators(loaded, runtime, live.authenticators);
  const routes = config.routes.map((route): ShadowRoute => {
    const policy = policies.get(route.name);
    if (policy === undefined) throw new Error(`route ${route.path}: no policy was compiled`);
    return {
      name: route.name,
      path: route.path,
      methods: methodsOf(route),
      resource: route.resource,
      requirements: compileRequirements(route, authenticators.byName, config.scopeImplies),
      policy,
      isMcp: route.mcp !== undefined,
      authenticators,
      tokens: new WeakMap(),
    };
  });
  return {
    loaded,
    problem,
    match: compileRoutes(routes),
    authenticators,
    seesSameCertificates: isDeepStrictEqual(certificateSettings(config), certificateSettings(live.config)),
  };
}

function certificateSettings({ server }: Config): unknown {
  return [server.tls?.clientCertificates, server.clientCertificateHeader];
}
