// Guard of the console: who may see it, with which session, and which requests may change something.
import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createPeerCertificateReader } from '../../authn/certificate/peer.ts';
import type { Config } from '../../config/schema/config.ts';
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { recordOf } from '../../gateway/request/audit-events.ts';
import { isLocal, parseListenAddress } from '../../http/connection/listen-address.ts';
import { createPeerAddressReader } from '../../http/connection/listener.ts';
import { problem } from '../../http/problem.ts';
import { failure } from '../failure.ts';
import { fieldOf } from '../form.ts';
import type { Viewer } from '../page.ts';
import { cookieOf, sessionCookie } from './cookies.ts';
import type { AccessSource } from './facts.ts';
import {
  type ConsoleAttempt,
  type ConsoleOutcome,
  type ConsoleRequest,
  causeOf,
  type Refusal,
  sentCertificate,
} from './request.ts';
import { isNavigation, isSafe, proxyHeaders, refusalByOrigin } from './request-origin.ts';
import { createSessions, type Session, type Sessions } from './sessions.ts';

/** Dependencies of the guard. */
export interface GuardOptions {
  /** Of the configuration in force. */
  readonly admin: () => Config['admin'];
  readonly isServedHost: (host: string) => boolean;
  /** The functions of a process that can be asked. Throws where there is none. */
  readonly source: () => AccessSource;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The guard, for the log-in. */
export interface Guard extends GuardOptions {
  readonly sessions: Sessions;
  /** The facts of a request that every function of the source is told. */
  factsOf(request: FastifyRequest): ConsoleRequest;
  /** The guard itself, for requests of another application. */
  authorize(request: FastifyRequest, reply: FastifyReply): Promise<unknown>;
}

/** A right that is gone ends what is open within this time, and a moment. */
const recheckMs = 4000;
/** Without a caller: the files of the console, and log-in itself. */
const openPaths = ['/assets/:name', '/login', '/login/callback', '/logged-out'];

/** An answer that is still open. */
interface Open {
  readonly attempt: ConsoleAttempt;
  readonly reply: FastifyReply;
}

/** Puts the guard before every route of the console's application. It sets `request.viewer`, or answers. */
export function guardConsole(app: FastifyInstance, options: GuardOptions): Guard {
  const { admin, isServedHost, now, source } = options;
  const sessions = createSessions(now);
  const csrfKey = randomBytes(32);
  const readCertificate = createPeerCertificateReader();
  const open = new Set<Open>();
  const tokenFor = (holder: string) => createHmac('sha256', csrfKey).update(holder).digest('base64url');

  function factsOf(request: FastifyRequest): ConsoleRequest {
    const [path = '/', query = ''] = request.url.split(/\?(.*)/s, 2);
    const { headers, method, raw } = request;
    const { listen } = admin();
    return {
      id: randomUUID(),
      method,
      path,
      query,
      origin: originOf(request, admin()),
      address: createPeerAddressReader(listen)(raw.socket),
      userAgent: headers['user-agent'],
    };
  }

  function checkOrigin(request: FastifyRequest): Refusal | undefined {
    const { listen, publicUrl } = admin();
    const address = parseListenAddress(listen);
    const refusal = refusalByOrigin(request, {
      listenHost: address.kind === 'unix' ? undefined : address.host,
      publicUrl,
      isTls: request.raw.socket instanceof TLSSocket,
      isServedHost,
    });
    return refusal && { ...refusal, headers: {} };
  }

  /** Nobody is asked who it is: who reaches loopback or the socket is on this machine. */
  function checkLocal(request: FastifyRequest): Refusal | undefined {
    const refuse = (message: string) => ({ status: 403, code: 'denied', message, headers: {} });
    if (!isLocal(parseListenAddress(admin().listen))) {
      return refuse('The console is served on loopback only, unless admin.tls and admin.authenticate are configured.');
    }
    if (proxyHeaders.some((name) => request.headers[name] !== undefined)) {
      return refuse(
        'A proxy brings others to the console, and nobody is asked who it is. Configure admin.authenticate.',
      );
    }
    if (isSafe(request)) return undefined;
    return refuse('The console can only be looked at: to act, configure admin.authenticate.');
  }

  async function refuseBefore(refusal: Refusal, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { code, status } = refusal;
    const outcome = await source().refuseRequest({ ...factsOf(request), code, status });
    answerRefusal('refused' in outcome ? outcome.refused : refusal, request, reply);
  }

  async function check(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const foreign = checkOrigin(request);
    if (foreign !== undefined) return refuseBefore(foreign, request, reply);
    const { url } = request.routeOptions;
    if (admin().authenticate === undefined) {
      const refusal = checkLocal(request);
      return refusal && refuseBefore(refusal, request, reply);
    }
    if (url !== undefined && openPaths.includes(url) && isSafe(request)) return;
    const id = cookieOf(request, sessionCookie);
    const isProgram = request.headers.authorization !== undefined;
    const session = isProgram ? undefined : sessions.find(id, isUse(request));
    const attempt = attemptOf(request, session);
    const outcome = await source().authorize(attempt);
    if ('refused' in outcome) {
      if (session !== undefined && [401, 403].includes(causeOf(outcome.refused))) sessions.end(id!);
      return answerUnauthorized(outcome.refused, request, reply);
    }
    // Its connection is gone: 'close' has been told already, and nobody reads an answer.
    if (isGone(reply)) return void reply.hijack();
    const { key, name, principal } = outcome.ok;
    request.viewer = {
      name,
      operator: { ...recordOf(principal), address: attempt.address },
      csrfToken: tokenFor(session === undefined ? `caller\n${key}` : `session\n${id}`),
      ...(session !== undefined && { logoutPath: '/logout' }),
    };
    const opened = { attempt: { ...attempt, page: undefined }, reply };
    open.add(opened);
    reply.raw.on('close', () => open.delete(opened));
  }

  function attemptOf(request: FastifyRequest, session: Session | undefined): ConsoleAttempt {
    const { rawHeaders, socket } = request.raw;
    const { url } = request.routeOptions;
    return {
      ...factsOf(request),
      rawHeaders,
      certificate: session === undefined ? sentCertificate(readCertificate(socket)) : undefined,
      session: session?.identity,
      page: isNavigation(request) ? url : undefined,
    };
  }

  /** Log-in is offered where nothing was shown, or what was shown has ended. */
  function answerUnauthorized(refusal: Refusal, request: FastifyRequest, reply: FastifyReply): void {
    const isUnknown = causeOf(refusal) === 401 && refusal.status < 500;
    const isLogin = isUnknown && admin().login !== undefined && isNavigation(request);
    const isBad = refusal.code === 'invalid_certificate' || request.headers.authorization !== undefined;
    if (!isLogin || isBad) answerRefusal(refusal, request, reply);
    else void reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
  }

  /** A certificate, a cookie, and a password that a browser keeps are sent with whatever a page makes it send: the token is not. */
  async function checkCsrf(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (isSafe(request)) return;
    const given = String(request.headers['x-csrf-token'] ?? fieldOf(request, 'csrf'));
    const { viewer } = request as { readonly viewer: Viewer | undefined };
    if (viewer !== undefined && isEqual(given, viewer.csrfToken)) return;
    const message =
      'The form is not one of this console, or the log-in has changed since. Load the page and try again.';
    await refuseBefore({ status: 403, code: 'origin_denied', message, headers: {} }, request, reply);
  }

  /** Asks again for what is still open, such as streams of events, and ends it where the right is gone. */
  async function recheck(): Promise<void> {
    for (const each of [...open]) {
      const { attempt, reply } = each;
      if (isGone(reply)) {
        open.delete(each);
        continue;
      }
      const id = cookieOf(reply.request, sessionCookie);
      const isOver = attempt.session !== undefined && sessions.find(id, false) === undefined;
      const outcome = isOver ? undefined : await source().authorize(attempt);
      if (outcome === undefined || ('refused' in outcome && causeOf(outcome.refused) !== 429)) reply.raw.destroy();
    }
  }

  const rechecking = setInterval(() => void recheck().catch(() => {}), recheckMs).unref();
  app.addHook('onClose', async () => clearInterval(rechecking));
  app.addHook('onRequest', check);
  app.addHook('preHandler', checkCsrf);
  return { ...options, sessions, factsOf, authorize: check };
}

/** The value of an outcome; a refusal is answered, and then there is none. */
export function okOr<T>(outcome: ConsoleOutcome<T>, request: FastifyRequest, reply: FastifyReply): T | undefined {
  if ('ok' in outcome) return outcome.ok;
  answerRefusal(outcome.refused, request, reply);
  return undefined;
}

/** A page for people, problem details for programs. */
function answerRefusal(refusal: Refusal, request: FastifyRequest, reply: FastifyReply): void {
  const { code, headers, message, status } = refusal;
  void reply.headers(headers);
  if (isNavigation(request)) throw failure(status, message);
  const error = new GatewayError(code as ErrorCode, message);
  void reply.code(status).type('application/problem+json').send(problem(error, request.id));
}

/** A response that waits behind another one on its connection is never told that it closed. */
function isGone({ raw, request }: FastifyReply): boolean {
  return raw.destroyed || raw.closed || request.raw.socket.destroyed;
}

/** `admin.publicUrl`, or else the address that is listened on. */
function originOf({ raw: { socket } }: FastifyRequest, { listen, publicUrl, tls }: Config['admin']): string {
  if (publicUrl !== undefined) return publicUrl;
  const address = parseListenAddress(listen);
  const scheme = tls === undefined ? 'http' : 'https';
  if (address.kind === 'unix') return `${scheme}://localhost`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return new URL(`${scheme}://${host}:${address.port || (socket.localPort ?? 0)}`).origin;
}

/** False for a request of a script, which keeps no session from idling. */
function isUse(request: FastifyRequest): boolean {
  return !isSafe(request) || isNavigation(request);
}

function isEqual(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
