// Authentication of the console's callers in a gateway process, which has the authenticators, the revocations and the audit log.
import { authenticate } from '../../authn/authenticate.ts';
import { buildCaller } from '../../authn/caller/caller.ts';
import type { Caller, Principal } from '../../authn/caller/principal.ts';
import type { CredentialRecord } from '../../authn/credential.ts';
import { credentialRefused } from '../../authn/errors.ts';
import { createAccessToken } from '../../authn/token/compact-jws.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import type { Configuration } from '../../gateway/reload.ts';
import { toGatewayError } from '../../gateway/request/error-response.ts';
import { authoritiesOf } from '../../oauth/authorities.ts';
import { parseClientKey } from '../../oauth/client-key.ts';
import { createEvaluation } from '../../policy/condition/evaluation.ts';
import { decide } from '../../policy/decide.ts';
import { denial } from '../../policy/decision.ts';
import { type ConsoleAuthenticators, createConsoleAuthenticators, loginOf } from './authenticators.ts';
import { createBadCodes } from './bad-codes.ts';
import { badLogin, createLoginClient, type LoginClient, type PendingLogin } from './login.ts';
import { createViews, recordRefusal, recordRefused, recordView, refusalOf, writeEvent } from './records.ts';
import {
  type ConsoleAttempt,
  type ConsoleCaller,
  type ConsoleOutcome,
  type ConsoleRequest,
  peerOf,
  type SessionIdentity,
} from './request.ts';

/** Functions of a gateway process for the access to the console. */
export interface AccessSource {
  /** Authenticates a request and decides by `admin.allow`. Refusals and views are recorded before the answer. */
  authorize(attempt: ConsoleAttempt): Promise<ConsoleOutcome<ConsoleCaller>>;
  beginLogin(request: ConsoleRequest & { readonly redirectUri: string }): Promise<ConsoleOutcome<LoginStart>>;
  completeLogin(request: LoginReturn): Promise<ConsoleOutcome<SessionIdentity & { readonly key: string }>>;
  /** Records a log-out. */
  endLogin(request: ConsoleRequest & { readonly session: SessionIdentity }): Promise<void>;
  /** Records a request that was refused before anybody was asked who it is. */
  refuseRequest(
    request: ConsoleRequest & { readonly code: string; readonly status: number },
  ): Promise<ConsoleOutcome<null>>;
}

type LoginStart = Awaited<ReturnType<LoginClient['begin']>>;
type LoginReturn = ConsoleRequest & {
  readonly redirectUri: string;
  /** Undefined where this browser has begun none. */
  readonly pending: PendingLogin | undefined;
};

/** The parts of one configuration for the console. */
interface Compiled extends ConsoleAuthenticators {
  readonly login: LoginClient | undefined;
}

/** The functions, for the process with these parts. */
export function accessFacts(parts: RunningParts): AccessSource {
  const compiled = new WeakMap<Configuration, Compiled>();
  const views = createViews();
  const badCodes = createBadCodes(parts.now);

  function inForce(): Compiled {
    const configuration = parts.current();
    let found = compiled.get(configuration);
    if (found === undefined) {
      found = compile(configuration, parts);
      compiled.set(configuration, found);
    }
    return found;
  }

  /** Runs `attempt`; what it throws is recorded, counted and answered, as on the public listener. */
  async function answered<T>(
    request: ConsoleRequest,
    attempt: (seen: CredentialRecord[], verified: (caller: Caller) => void) => Promise<T>,
  ): Promise<ConsoleOutcome<T>> {
    const seen: CredentialRecord[] = [];
    let caller: Caller | undefined;
    try {
      return { ok: await attempt(seen, (verified) => (caller = verified)) };
    } catch (thrown) {
      const error = toGatewayError(thrown);
      if (error.status >= 500)
        parts.log.warn({ code: error.code, reason: error.reason, err: error.cause }, error.message);
      const told = await recordRefusal(error, request, seen, caller?.principal, parts);
      return { refused: { ...refusalOf(told, request.origin), causeStatus: error.status } };
    }
  }

  async function authorized(attempt: ConsoleAttempt, seen: CredentialRecord[], verified: (caller: Caller) => void) {
    const { requirements, set } = inForce();
    const caller =
      attempt.session === undefined
        ? await authenticate(presentedBy(attempt, seen, parts), requirements, set)
        : callerOf(attempt.session, inForce(), attempt, parts);
    if (caller === undefined) throw new Error('the console asks nobody who it is');
    verified(caller);
    allow(caller, attempt, parts);
    await recordView(attempt, caller, views, parts);
    const { principal } = caller;
    return { name: nameOf(principal), key: caller.subjectKey, principal };
  }

  return {
    authorize: (attempt) => answered(attempt, (seen, verified) => authorized(attempt, seen, verified)),
    beginLogin: (request) => answered(request, () => loginIn(inForce()).begin(request.redirectUri)),
    completeLogin(request) {
      const counted = (outcome: string) => parts.metrics.loginEnded(outcome);
      return answered(request, async (_seen, verified) => {
        try {
          badCodes.check(request.address);
          const done = await completed(request, inForce(), verified, parts);
          counted('completed');
          return done;
        } catch (error) {
          const { code, reason, status } = toGatewayError(error);
          if (reason === 'code') badCodes.count(request.address);
          counted(status >= 500 ? 'unavailable' : code === 'denied' || status === 403 ? 'denied' : 'invalid');
          throw error;
        }
      });
    },
    endLogin: (request) => writeEvent('console log-out', request, request.session.principal, parts),
    refuseRequest: ({ code, status, ...request }) =>
      recordRefused(code, status, request, parts).then(
        () => ({ ok: null }),
        (thrown: unknown) => ({ refused: refusalOf(toGatewayError(thrown), request.origin) }),
      ),
  };
}

function compile({ loaded, snapshot }: Configuration, { now, snapshots }: RunningParts): Compiled {
  const { config, egress, files } = loaded;
  const authenticators = createConsoleAuthenticators(loaded, snapshots, snapshot.authenticators);
  const at = loginOf(config)?.authenticator;
  const { login } = config.admin;
  if (at === undefined || login === undefined) return { ...authenticators, login: undefined };
  const clientKey = login.clientKeyFile === undefined ? undefined : files.parse(login.clientKeyFile, parseClientKey);
  const { algorithms, clockTolerance: clockToleranceMs, insecure, issuer } = at;
  const authorities = authoritiesOf(at, { files });
  const options = { login, clientKey, issuer, insecure, algorithms, clockToleranceMs, authorities, egress, now };
  return { ...authenticators, login: createLoginClient(options) };
}

function loginIn({ login }: Compiled): LoginClient {
  if (login === undefined) throw badLogin('There is no log-in any more', 'configuration');
  return login;
}

function presentedBy(
  { address, certificate, method, origin, path, query, rawHeaders }: ConsoleAttempt,
  seen: CredentialRecord[],
  { now, runtime }: RunningParts,
) {
  return {
    rawHeaders,
    query,
    peer: certificate && peerOf(certificate),
    now: now(),
    clientAddress: address,
    resource: origin,
    method,
    url: origin + path,
    seen,
    revocations: runtime.revocations,
  };
}

/** The caller of a session, as of now. Throws where a later configuration does not accept it, or it is revoked. */
function callerOf(
  { configuration, principal }: SessionIdentity,
  { idTokens, requirements }: Compiled,
  { origin }: ConsoleRequest,
  { runtime }: RunningParts,
): Caller {
  if (idTokens?.configurationOf(principal, origin) !== configuration) {
    throw credentialRefused('access-token', 'not_accepted');
  }
  const revokedBy = runtime.revocations().ofPrincipal(principal);
  if (revokedBy !== undefined) throw credentialRefused('access-token', 'revoked', revokedBy);
  return buildCaller(requirements, { verified: true, principal }, undefined);
}

/** Throws `insufficient_scope` or `denied` unless `admin.allow` holds. */
function allow(caller: Caller, { address, method, path }: ConsoleRequest, { current, now }: RunningParts): void {
  const { consolePolicy } = current().loaded;
  if (consolePolicy === undefined) throw new Error('the console asks nobody who it is');
  const decision = decide(
    {
      route: 'console',
      http: { method, path },
      client: { address },
      caller,
      message: undefined,
      evaluation: createEvaluation(),
      now: now(),
    },
    consolePolicy,
  );
  if (decision.allow) return;
  throw denial(decision.reason === 'insufficient_scope' ? decision : { ...decision, message: notAllowed });
}

const notAllowed =
  'You are authenticated, but admin.allow of this gateway does not let you see the console. Ask its operator.';

/** Throws what `LoginClient.complete` throws, and for an ID token that is not good, or whom `admin.allow` does not let in. */
async function completed(
  request: LoginReturn,
  compiled: Compiled,
  verified: (caller: Caller) => void,
  parts: RunningParts,
): Promise<SessionIdentity & { readonly key: string }> {
  const { idTokens, requirements } = compiled;
  const { origin, pending, query, redirectUri } = request;
  if (pending === undefined) throw badLogin('This log-in was not begun in this browser, or is too old', 'state');
  const answer = await loginIn(compiled).complete(query, redirectUri, pending);
  const context = { now: parts.now(), clientAddress: request.address, resource: origin };
  const verification = await idTokens!.verify(createAccessToken(answer.idToken), context);
  if (!verification.verified) {
    throw badLogin(`The ID token is not good (${verification.reason})`, verification.reason);
  }
  // The session has an end of its own, and an ID token says nothing of scopes.
  const cap = idTokens!.maxScopes;
  const scopes = answer.scopes.filter((scope) => cap === undefined || cap.has(scope));
  const principal: Principal = { ...verification.principal, scopes, expiresAt: undefined, confirmation: undefined };
  const revokedBy = parts.runtime.revocations().ofPrincipal(principal);
  if (revokedBy !== undefined) throw credentialRefused('access-token', 'revoked', revokedBy);
  const caller = buildCaller(requirements, { verified: true, principal }, undefined);
  verified(caller);
  allow(caller, request, parts);
  await writeEvent('console log-in', request, principal, parts);
  return { principal, configuration: idTokens!.configurationOf(principal, origin)!, key: caller.subjectKey };
}

/** For people and records: unambiguous, and readable where the claims of the authenticator are. */
function nameOf({ claims, clientId, kind, subject }: Principal): string {
  const own = kind === 'oauth' ? subject : (clientId ?? subject);
  const readable = [claims.email, claims.username].find((each) => typeof each === 'string' && each !== '');
  // The identity provider may let people choose the readable one: the other stands first and whole.
  return readable === undefined || readable === own ? own : `${own} (${String(readable).slice(0, 64)})`;
}
