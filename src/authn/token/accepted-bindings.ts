// How tokens may be bound to their sender on a route: what its challenge and its metadata tell of it.

import type { Config, RouteConfig } from '../../config/schema/config.ts';
import { clientAuthorities } from '../certificate/source.ts';
import { authenticatorNamesOf } from '../requirements.ts';
import { proofAlgorithms } from './dpop.ts';

export interface AcceptedBindings {
  /** Of DPoP proofs; empty where no DPoP-bound tokens are accepted. */
  readonly dpopAlgorithms: readonly string[];
  /** Whether clients are asked for certificates at all. */
  readonly certificates: boolean;
  readonly required: boolean;
}

export function acceptedBindings(route: RouteConfig, config: Config): AcceptedBindings {
  const algorithms = authenticatorNamesOf(route.authenticate).flatMap((name) => {
    const authenticator = config.authenticators[name];
    if (authenticator === undefined || !('dpop' in authenticator) || authenticator.dpop === 'off') return [];
    return proofAlgorithms(authenticator.dpop);
  });
  return {
    dpopAlgorithms: [...new Set(algorithms)],
    certificates: clientAuthorities(config.server) !== undefined,
    required: route.senderConstraint === 'required',
  };
}

export const noBindings: AcceptedBindings = { dpopAlgorithms: [], certificates: false, required: false };

/** RFC 9728 §2, of the routes that share a resource; what is not so is left out. */
export function bindingMetadata(routes: readonly AcceptedBindings[]): Record<string, unknown> {
  const algorithms = [...new Set(routes.flatMap(({ dpopAlgorithms }) => dpopAlgorithms))];
  const certificates = routes.some((route) => route.certificates);
  const required = routes.every((route) => route.required);
  return {
    ...(certificates && { tls_client_certificate_bound_access_tokens: true }),
    ...(algorithms.length > 0 && { dpop_signing_alg_values_supported: algorithms }),
    ...(algorithms.length > 0 && required && !certificates && { dpop_bound_access_tokens_required: true }),
  };
}
