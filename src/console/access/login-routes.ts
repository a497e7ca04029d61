// Log-in and log-out of the console in the browser.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { cookie, cookieOf, sessionCookie } from './cookies.ts';
import { type Guard, okOr } from './guard.ts';
import type { PendingLogin } from './login.ts';
import { createSeal } from './sealed.ts';

const loginCookie = '__Host-portcullis-login';
const loginForMs = 600_000;
const callbackPath = '/login/callback';
const gone = '; Max-Age=0';

/** The browser's part of a log-in. */
interface BegunLogin {
  readonly pending: PendingLogin;
  /** The page that it was begun for. */
  readonly next: string;
}

/** Adds the routes to the application behind the guard. */
export function serveLogin(app: FastifyInstance, guard: Guard): void {
  const { admin, factsOf, now, sessions, source } = guard;
  const { open, seal } = createSeal<BegunLogin>();

  app.get('/login', async (request, reply) => {
    if (admin().login === undefined) return reply.callNotFound();
    const facts = factsOf(request);
    const query = new URLSearchParams(facts.query);
    const next = pageOf(query.get('next'), facts.origin);
    // Cookies are of one host, and the provider sends people back to the one it knows.
    if (request.headers.host !== new URL(facts.origin).host && !query.has('here')) {
      return reply.redirect(`${facts.origin}/login?here&next=${encodeURIComponent(next)}`, 303);
    }
    const redirectUri = facts.origin + callbackPath;
    const begun = okOr(await source().beginLogin({ ...facts, redirectUri }), request, reply);
    if (begun === undefined) return reply;
    const sealed = seal({ pending: begun.pending, next }, now() + loginForMs);
    return reply
      .header('set-cookie', cookie(loginCookie, sealed, `; Max-Age=${loginForMs / 1000}`))
      .redirect(begun.url, 303);
  });

  app.get(callbackPath, async (request, reply) => {
    if (admin().login === undefined) return reply.callNotFound();
    const facts = factsOf(request);
    const begun = open(cookieOf(request, loginCookie), now());
    // One answer for one log-in, good or bad.
    reply.header('set-cookie', cookie(loginCookie, '', gone));
    const redirectUri = facts.origin + callbackPath;
    const outcome = await source().completeLogin({ ...facts, redirectUri, pending: begun?.pending });
    const identity = okOr(outcome, request, reply);
    if (identity === undefined) return reply;
    const { key, ...session } = identity;
    endSession(request);
    const id = sessions.begin(session, key);
    return reply.header('set-cookie', cookie(sessionCookie, id)).redirect(begun!.next, 303);
  });

  app.post('/logout', async (request, reply) => {
    const ended = endSession(request);
    if (ended !== undefined) await source().endLogin({ ...factsOf(request), session: ended.identity });
    return reply
      .header('set-cookie', cookie(sessionCookie, '', gone))
      .header('clear-site-data', '"cache"')
      .redirect('/logged-out', 303);
  });

  function endSession(request: FastifyRequest) {
    const id = cookieOf(request, sessionCookie);
    const session = sessions.find(id, false);
    if (id !== undefined) sessions.end(id);
    return session;
  }
}

/** The page of the console that a path names; anything else is the overview: nobody is sent to another site. */
export function pageOf(path: string | null, origin: string): string {
  if (path === null || !/^\/(?![/\\])[\x21-\x7e]*$/.test(path) || !URL.canParse(path, origin)) return '/';
  const url = new URL(path, origin);
  // Without its dot segments a path may begin like the name of another host.
  const isOwn = url.origin === origin && !/^\/(\/|log(in|out|ged-out)\b)/.test(url.pathname);
  return isOwn ? url.pathname + url.search : '/';
}
