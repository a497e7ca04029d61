// Repeated check of a caller's credentials while its request waits: expiry, revocation, and a configuration that takes them out.
import type { Caller } from '../../authn/caller/principal.ts';
import { reauthenticate } from '../../authn/caller/reauthenticate.ts';
import { checkStillValid, credentialWithdrawn } from '../../authn/caller/still-valid.ts';
import type { Route } from '../route.ts';
import { type AuthorizationState, clientCertificateOf, type Runtime } from '../runtime.ts';
import type { RequestContext } from './context.ts';

/**
 * Throws the GatewayError of a credential that has expired or was revoked since it was verified, or that the configuration in force does not accept.
 * The request keeps its own policy. Compares three values where nothing has changed.
 */
export function checkCredential(context: RequestContext, runtime: Runtime): void {
  const { caller, certificate, checkedRevocations, checkedSnapshot, request, route, snapshot } = context;
  if (caller === undefined) return;
  const revocations = runtime.revocations();
  const now = runtime.now();
  if (revocations === checkedRevocations && runtime.snapshot === checkedSnapshot && now < context.expiresAt) return;
  // Of the proxy, where the client's certificate came in a header.
  const direct = runtime.peerCertificate(request.socket)?.certificate;
  const certificates = [certificate, direct];
  checkStillValid(caller, { now, revocations, authenticators: snapshot.authenticators, certificates });
  if (runtime.snapshot !== checkedSnapshot) {
    const found = runtime.snapshot.match(context.method, context.path);
    const inForce = found !== undefined && 'route' in found ? found.route : route!;
    const accepting = inForce.requirements.kind === 'none' ? route! : inForce;
    const rebuilt = reauthenticateCaller(context, { snapshot, route: route!, caller }, accepting, runtime);
    if (rebuilt === undefined) throw credentialWithdrawn(caller);
  }
  context.checkedRevocations = revocations;
  context.checkedSnapshot = runtime.snapshot;
}

/** Authenticates the caller of a request under the snapshot in force. Undefined where it would be refused. Never throws. */
export function reauthenticateCaller(
  context: RequestContext,
  authorization: AuthorizationState,
  route: Route,
  runtime: Runtime,
): Caller | undefined {
  const { snapshot } = runtime;
  if (authorization.caller === undefined) return undefined;
  try {
    return reauthenticate(
      authorization.caller,
      { authenticators: authorization.snapshot.authenticators, resource: authorization.route.resource },
      {
        authenticators: snapshot.authenticators,
        resource: route.resource,
        requirements: route.requirements,
        peer: clientCertificateOf(context, snapshot, runtime),
      },
      { now: runtime.now(), clientAddress: context.clientAddress, resource: route.resource },
    );
  } catch {
    return undefined;
  }
}
