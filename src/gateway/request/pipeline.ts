// Pipeline of one request: its steps in their order, from the head to the record of the decision and the answer.
import type { AuditEvent } from '../../audit/event.ts';
import { authenticate as authenticateCaller } from '../../authn/authenticate.ts';
import { expiryOf } from '../../authn/caller/caller.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import { checkAnnouncedLength, readBody as readWholeBody, sendContinue } from '../../http/body/body.ts';
import { reserveBody } from '../../http/body/budget.ts';
import { acceptRequest } from '../../http/connection/pipelining.ts';
import { isPreflight } from '../../http/cors.ts';
import { checkFraming as checkFramingOf, hasBody } from '../../http/framing.ts';
import { parseTarget } from '../../http/path.ts';
import { requireRoute } from '../../http/route-matcher.ts';
import { auditArguments } from '../../mcp/audit-arguments.ts';
import { checkMediaType } from '../../mcp/media-type.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { checkMirroredHeaders } from '../../mcp/mirrored-headers.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { decide } from '../../policy/decide.ts';
import { denial } from '../../policy/decision.ts';
import { checkDefinitions } from '../catalog/pinned-requests.ts';
import type { Route } from '../route.ts';
import { countDecision } from '../rule-hits.ts';
import { attributesOf, clientCertificateOf, type Runtime } from '../runtime.ts';
import { decidedEvent } from './audit-events.ts';
import { checkLimits } from './call-limits.ts';
import type { RecordedDecision, RequestContext } from './context.ts';
import { checkCredential } from './credential-check.ts';
import { rateLimited } from './error-response.ts';
import { acquireUpstreamSlot, authorizationFor, forwardMcpRequest } from './forward-request.ts';
import { bodyBudgetOf, bodyLimitsOf, respondLocally, respondToPreflight } from './local-responses.ts';
import { resolveSession } from './session-resolution.ts';
import { compareRefused, compareWithShadow } from './shadow-comparison.ts';

/** Lets a request pass by returning, refuses it by throwing a GatewayError, or sends its response and sets `answered`. */
export type Step =
  | { readonly name: string; readonly run: (context: RequestContext, runtime: Runtime) => void }
  | { readonly name: string; readonly wait: (context: RequestContext, runtime: Runtime) => Promise<void> };

/** The steps of each hook of the application, in their order. A request that no step has answered is of a path route, and goes to the path proxy. */
export interface Pipeline {
  readonly onRequest: readonly Step[];
  readonly preHandler: readonly Step[];
}

/** All steps. */
export const pipeline: Pipeline = {
  onRequest: [
    { name: 'matchRoute', run: matchRoute },
    { name: 'checkFraming', run: ({ request }) => checkFramingOf(request) },
    { name: 'checkHostAndOrigin', run: checkHostAndOrigin },
    { name: 'requireRoute', run: ({ match }) => void requireRoute(match) },
    { name: 'answerPreflight', run: answerPreflight },
    { name: 'authenticate', wait: authenticate },
  ],
  preHandler: [
    { name: 'readBody', wait: readBody },
    { name: 'readMcpMessage', run: readMcpMessage },
    { name: 'checkCredentialStillValid', run: checkCredential },
    { name: 'resolveSession', wait: resolveSession },
    { name: 'authorize', run: authorize },
    { name: 'checkLimits', wait: checkLimits },
    { name: 'obtainUpstreamCredential', wait: obtainUpstreamCredential },
    { name: 'acquireSlot', wait: acquireSlot },
    { name: 'recordDecision', wait: recordDecision },
    { name: 'answerLocally', run: answerLocally },
    { name: 'forwardMcp', wait: forwardMcp },
  ],
};

const allSteps = [...pipeline.onRequest, ...pipeline.preHandler].map(({ name }) => name);
const beforeRecord = (1 << allSteps.indexOf('recordDecision')) - 1;

/** The bit of a step in `passedSteps`. */
export function bitOf({ name }: Step): number {
  return 1 << allSteps.indexOf(name);
}

function matchRoute(context: RequestContext): void {
  const { method, request, snapshot } = context;
  const { path, query } = parseTarget(request.url ?? '', snapshot.config.server.limits.urlBytes);
  context.path = path;
  context.query = query;
  const { headers } = request;
  const asked = isPreflight(method, headers) ? headers['access-control-request-method']! : method;
  context.match = snapshot.match(asked, path);
  if (context.match !== undefined && 'route' in context.match) context.route = context.match.route;
}

function checkHostAndOrigin(context: RequestContext): void {
  const { request, route, snapshot } = context;
  if (route?.respond === undefined) snapshot.hosts.checkHost(request.headers.host);
  if (route?.anyOrigin === true) return;
  snapshot.hosts.checkOrigin(request.headers.origin);
  context.origin = request.headers.origin;
}

function answerPreflight(context: RequestContext, runtime: Runtime): void {
  if (!isPreflight(context.method, context.request.headers)) return;
  respondToPreflight(context, routeOf(context), runtime);
  context.answered = true;
}

async function authenticate(context: RequestContext, runtime: Runtime): Promise<void> {
  const { request, snapshot } = context;
  const { otherForm, requirements, resource } = routeOf(context);
  if (requirements.kind === 'none') return;
  const isOtherForm = otherForm?.path === context.path;
  context.checkedRevocations = runtime.revocations();
  const peer = clientCertificateOf(context, snapshot, runtime);
  context.certificate = peer?.certificate;
  const presented = {
    rawHeaders: request.rawHeaders,
    query: context.query,
    peer,
    now: runtime.now(),
    clientAddress: context.clientAddress,
    resource: isOtherForm ? otherForm.challenge.resource : resource,
    canonicalResource: isOtherForm ? resource : undefined,
    method: context.method,
    url: snapshot.config.server.publicUrl + context.path,
    seen: context.credentials,
    revocations: runtime.revocations,
  };
  let caller: Caller | undefined;
  try {
    caller = await authenticateCaller(presented, requirements, snapshot.authenticators);
  } catch (error) {
    compareRefused(context, error, runtime);
    throw error;
  }
  context.caller = caller;
  context.expiresAt = expiryOf(caller);
  if (caller !== undefined) context.subject = caller.subjectKey;
}

/** A path route streams its bodies while they are forwarded, an MCP route reads and judges them whole, and a fixed answer drops them. */
async function readBody(context: RequestContext, runtime: Runtime): Promise<void> {
  const { request, response } = context;
  const limits = bodyLimitsOf(context);
  checkAnnouncedLength(request, limits);
  const route = routeOf(context);
  if (isPathRoute(route)) return;
  sendContinue(request, response);
  const budget = bodyBudgetOf(context);
  const reserve = (bytes: number) => reserveBody(runtime.bodies, context, bytes, budget);
  context.body = await readWholeBody(request, response, limits, route.mcp && reserve);
}

function readMcpMessage(context: RequestContext): void {
  const { mcp, policy } = routeOf(context);
  if (mcp === undefined || context.method !== 'POST') return;
  const { headers } = context.request;
  checkMediaType(headers);
  context.message = readMessage(context.body!);
  context.message = lookThrough(context.message, policy.metaTools);
  context.auditArguments = auditArguments(mcp.audit.arguments, context.message);
  checkMirroredHeaders(headers, context.message);
}

function authorize(context: RequestContext, runtime: Runtime): void {
  const route = routeOf(context);
  const attributes = attributesOf(context, route, runtime);
  const decision = decide(attributes, route.policy);
  context.decision = decision;
  countDecision(route.hits, decision, attributes.now);
  compareWithShadow(context, decision.allow, runtime);
  if (!decision.allow) throw denial(decision);
  // A body that is streamed may still be refused.
  if (context.body !== undefined || !hasBody(context.request)) acceptRequest(context.request);
}

/** A call whose definition has changed gets no credential. */
async function obtainUpstreamCredential(context: RequestContext, runtime: Runtime): Promise<void> {
  const route = routeOf(context);
  if (route.pins !== undefined) await checkDefinitions(context, route.pins);
  context.authorization = await authorizationFor(context, route, runtime);
}

/** A stranger whose rate is used up is not forwarded: that would take a record of its own. */
async function acquireSlot(context: RequestContext, { strangers }: Runtime): Promise<void> {
  const { upstream } = routeOf(context);
  if (upstream === undefined) return;
  if (context.caller === undefined && !strangers.hasRoom(context.clientAddress)) throw rateLimited();
  await acquireUpstreamSlot(context, upstream);
}

/** Writes the record that every request is carried out after. Throws for a request that has not passed every step before. */
async function recordDecision(context: RequestContext, runtime: Runtime): Promise<void> {
  if (context.passedSteps !== beforeRecord) throw new Error('a step of the pipeline is missing');
  // The token exchange may have taken its time, and so may the record.
  checkCredential(context, runtime);
  const event = decidedEvent(context, runtime.now());
  await writeDecision(event, context, runtime);
  checkCredential(context, runtime);
  // The connection may have broken meanwhile: then the request was refused, and must not be carried out.
  if (context.error === undefined) context.decided = { event } as RecordedDecision;
}

/** Answers of the gateway's own to strangers, which forward nothing, are summed up above the limit of their address while the log works. */
function writeDecision(event: AuditEvent, context: RequestContext, runtime: Runtime): Promise<void> {
  const { caller, clientAddress: address, route } = context;
  const { audit, strangers } = runtime;
  if (caller !== undefined || route?.upstream !== undefined) return audit.write(event);
  context.summed =
    audit.healthy() && !strangers.allow({ key: address, outcome: 'completed', code: 'completed', status: undefined });
  return context.summed ? Promise.resolve() : strangers.record(address, event);
}

function answerLocally(context: RequestContext, runtime: Runtime): void {
  const route = routeOf(context);
  if (route.upstream !== undefined) return;
  decisionOf(context);
  respondLocally(context, route, runtime);
  context.answered = true;
}

async function forwardMcp(context: RequestContext, runtime: Runtime): Promise<void> {
  const route = routeOf(context);
  if (isPathRoute(route)) return;
  await forwardMcpRequest(context, decisionOf(context), route, runtime);
  context.answered = true;
}

function isPathRoute({ mcp, upstream }: Route): boolean {
  return mcp === undefined && upstream !== undefined;
}

function routeOf({ route }: RequestContext): Route {
  if (route === undefined) throw new Error('no route was matched');
  return route;
}

/** The recorded decision of a request. Throws an Error for a request without one. */
export function decisionOf({ decided }: Pick<RequestContext, 'decided'>): RecordedDecision {
  if (decided === undefined) throw new Error('nothing is carried out without a recorded decision');
  return decided;
}
