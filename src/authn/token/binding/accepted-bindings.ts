// Sender constraints that a route accepts, for its challenge and its protected resource metadata (RFC 9728 §2).
import type { AuthenticatorSet } from '../../registry.ts';
import type { Requirements } from '../../requirements.ts';

/** The sender constraints that a route accepts. */
export interface AcceptedBindings {
  /** Of DPoP proofs; empty where no DPoP-bound tokens are accepted. */
  readonly dpopAlgorithms: readonly string[];
  /** Clients are asked for certificates. */
  readonly certificates: boolean;
  readonly required: boolean;
}

/** Finds them for a route. */
export function acceptedBindings(
  { named, senderConstrained }: Requirements,
  { proofs, clientTrust }: Pick<AuthenticatorSet, 'proofs' | 'clientTrust'>,
): AcceptedBindings {
  const algorithms = [...named].flatMap((name) => proofs.get(name)?.algorithms ?? []);
  return {
    dpopAlgorithms: [...new Set(algorithms)],
    certificates: clientTrust !== undefined,
    required: senderConstrained,
  };
}

export const noBindings: AcceptedBindings = { dpopAlgorithms: [], certificates: false, required: false };

/** Members of the metadata of all routes that share a resource. */
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
