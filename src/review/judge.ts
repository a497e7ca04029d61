// Judgement of a made-up request: the answer that the gateway would give, by the functions that give it.
import type { Caller } from '../authn/caller/principal.ts';
import type { CredentialRecord } from '../authn/credential.ts';
import { GatewayError } from '../errors.ts';
import { checkKnownDefinitions } from '../gateway/catalog/pinned-requests.ts';
import { errorAnswer } from '../gateway/request/error-response.ts';
import { checkIdentity } from '../gateway/request/forward-request.ts';
import { bodyLimitsOf, fixedAnswer } from '../gateway/request/local-responses.ts';
import type { Answer, Route } from '../gateway/route.ts';
import { attributesOf } from '../gateway/runtime.ts';
import { checkLength } from '../http/body/body.ts';
import { parseTarget } from '../http/path.ts';
import { requireRoute } from '../http/route-matcher.ts';
import type { McpMessage } from '../mcp/message.ts';
import { lookThrough } from '../mcp/meta-tools.ts';
import { readMessage } from '../mcp/read-message.ts';
import type { Attributes } from '../policy/attributes.ts';
import { decide } from '../policy/decide.ts';
import { type Decision, denial } from '../policy/decision.ts';
import { type Call, resolveCall } from './call-form.ts';
import { authenticateStated, resolveCaller } from './caller-form.ts';
import type { PolicyFile } from './policy-file.ts';
import { FormError, type FormProblem, type RequestForm } from './request-form.ts';

/** Authenticates the caller of a matched route. Throws the GatewayError of the refusal. `seen` is for the challenge. */
export type Authenticate = (request: AuthenticatedRequest, seen: CredentialRecord[]) => Caller | undefined;

/** The facts of a request that authentication depends on. */
export interface AuthenticatedRequest {
  readonly route: Route;
  readonly now: number;
  readonly clientAddress: string;
}

/** The outcome of a request at the gateway, with all facts that lead to it. */
export interface Judgement {
  readonly call: Call;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly clientAddress: string;
  /** Undefined where no route has this path and method. */
  readonly route: Route | undefined;
  /** Undefined where no caller was authenticated. */
  readonly caller: Caller | undefined;
  /** The message, looked through; undefined where there is none or it cannot be read. */
  readonly message: McpMessage | undefined;
  /** Undefined where the request was refused before the decision. */
  readonly attributes: Attributes | undefined;
  readonly decision: Decision | undefined;
  /** Further members of the audit record. */
  readonly detail: Readonly<Record<string, unknown>> | undefined;
  /** Claims of the assertion that the upstream would get, but those of time. */
  readonly assertion: Readonly<Record<string, unknown>> | undefined;
  /** The refusal or denial; undefined where the request would be forwarded or answered. */
  readonly error: GatewayError | undefined;
  /** The answer of the gateway itself; undefined where the upstream gives it. Request ids in it are `request-id`. */
  readonly answer: Answer | undefined;
}

/** Judges a request of a form. Throws FormError where the form names what the policy file does not have. */
export function judge(policyFile: PolicyFile, form: RequestForm, { now }: { readonly now: () => number }): Judgement {
  const problems: FormProblem[] = [];
  const report = (problem: FormProblem) => problems.push(problem);
  const call = resolveCall(form.call, policyFile, report);
  const credentials = resolveCaller(form.as, call && routeOf(call, policyFile), policyFile, report);
  if (call === undefined || credentials === undefined || problems.length > 0) throw new FormError(problems);
  return judgeCall(policyFile, call, { at: form.at ?? now(), clientAddress: form.from }, (request, seen) => {
    const { clientAddress, now: at, route } = request;
    const context = { clientAddress, now: at, resource: route.resource };
    return authenticateStated(credentials, route, policyFile, context, seen);
  });
}

/** The route of a call; undefined where none matches. */
export function routeOf({ method, target }: Call, { snapshot }: PolicyFile): Route | undefined {
  const match = snapshot.match(method, target.split('?')[0]!);
  return match !== undefined && 'route' in match ? match.route : undefined;
}

type Judged = { -readonly [K in keyof Judgement]: Judgement[K] };

/** Judges a call of a caller who is authenticated in any way. */
export function judgeCall(
  policyFile: PolicyFile,
  call: Call,
  { at, clientAddress }: Pick<Judgement, 'at' | 'clientAddress'>,
  authenticate: Authenticate,
): Judgement {
  const judged: Judged = {
    call,
    at,
    clientAddress,
    route: undefined,
    caller: undefined,
    message: undefined,
    detail: undefined,
    attributes: undefined,
    decision: undefined,
    assertion: undefined,
    error: undefined,
    answer: undefined,
  };
  const credentials: CredentialRecord[] = [];
  let path = '';
  try {
    ({ path } = parseTarget(call.target, policyFile.snapshot.config.server.limits.urlBytes));
    const route = requireRoute(policyFile.snapshot.match(call.method, path));
    judged.route = route;
    judged.caller = authenticate({ route, now: at, clientAddress }, credentials);
    judged.message = messageOf(call, route, policyFile);
    const { method } = call;
    judged.attributes = attributesOf({ ...judged, method, path }, route, { now: () => at });
    judged.decision = decide(judged.attributes, route.policy);
    if (!judged.decision.allow) throw denial(judged.decision);
    if (route.pins !== undefined) checkKnownDefinitions(judged, judged.caller?.subjectKey ?? '', route.pins);
    judged.assertion = identify(route, judged.caller);
    judged.answer = route.respond && fixedAnswer(route.respond(method, path), judged.caller?.responseHeaders);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { caller, route } = judged;
    judged.error = error;
    const request = { id: 'request-id', credentials, message: judged.message, method: call.method, path, route };
    judged.answer = errorAnswer(request, error, call.rpcId, caller?.responseHeaders);
  }
  return judged;
}

function messageOf(call: Call, route: Route, { snapshot }: PolicyFile): McpMessage | undefined {
  if (call.body === undefined || route.mcp === undefined) return undefined;
  checkLength(call.body.length, bodyLimitsOf({ route, snapshot }));
  return lookThrough(readMessage(call.body), route.policy.metaTools);
}

/** Throws `denied` for a caller whom the upstream cannot be told of. */
function identify({ upstream }: Route, caller: Caller | undefined): Judgement['assertion'] {
  if (upstream === undefined) return undefined;
  checkIdentity(caller, upstream);
  return caller && upstream.claimsOf?.(caller);
}
