// Checks of `admin`: its address, and who may see the console.
import { alternativesOf, authenticatorNamesOf, namedBy } from '../../authn/alternatives.ts';
import {
  isLocal,
  isWildcard,
  type ListenAddress,
  parseListenAddress,
  sharesAddress,
} from '../../http/connection/listen-address.ts';
import { isLoopbackAddress, isPlainHttp } from '../../http/host.ts';
import { checkOAuthClient } from '../../oauth/client-auth.ts';
import type { Policy } from '../../policy/rule.ts';
import { adminTlsOf } from '../admin-tls.ts';
import type { Config } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import type { CheckContext } from './context.ts';
import { authenticatorNamed, checkAlternatives, checkNames } from './routes/authenticate.ts';
import { compileConsolePolicy } from './routes/rules.ts';
import { checkListenerTls } from './server.ts';

type AdminConfig = Config['admin'];
type Authenticate = NonNullable<AdminConfig['authenticate']>;

/** Checks the section. The policy of the console; undefined without `authenticate`, and where an error was reported. */
export function checkAdmin(context: CheckContext): Policy | undefined {
  const { server, admin } = context.draft;
  if (server === undefined || admin === undefined) return undefined;
  const address = parseListenAddress(admin.listen);
  if (sharesAddress(parseListenAddress(server.listen), address)) {
    const where = context.isWritten(['admin', 'listen']) ? ['admin', 'listen'] : ['server', 'listen'];
    context.error(where, 'server.listen and admin.listen must not be the same address');
  } else if (isWildcard(address)) {
    const closed = admin.authenticate === undefined ? ', and the console there needs admin.authenticate' : '';
    const message = `metrics and status can be reached from everywhere; listen on one address${closed}`;
    if (admin.metrics === 'open') context.warn(['admin', 'listen'], message);
  }
  checkTls(context, admin);
  if (admin.authenticate === undefined) return void checkNobodyAsked(context, admin, address);
  checkConfidential(context, admin, address);
  checkAuthenticators(context, admin.authenticate);
  checkOrigin(context, admin, admin.authenticate, address);
  if (admin.login !== undefined) checkLogin(context, admin.login, admin.authenticate);
  if (admin.allow === undefined || Object.values(admin.allow).every((each) => each === undefined)) {
    const where = admin.allow === undefined ? ['admin', 'authenticate'] : ['admin', 'allow'];
    context.warn(where, 'everybody whom it accepts may see the console and use its buttons; say who in admin.allow');
  }
  return compileConsolePolicy(context, admin.authenticate, admin.allow);
}

function checkTls(context: CheckContext, admin: AdminConfig): void {
  const { authenticators = {}, server } = context.draft;
  const tls = adminTlsOf({ admin, authenticators, server: server! });
  if (tls === undefined) return;
  const path: Path = ['admin', 'tls'];
  // The server's own files are checked there.
  const own = (key: 'clientCaFile' | 'clientCrlFile') => (admin.tls?.[key] === undefined ? undefined : tls[key]);
  const clientCaFile = own('clientCaFile');
  const clientCertificates = clientCaFile === undefined ? 'off' : tls.clientCertificates;
  checkListenerTls(context, path, { ...tls, clientCertificates, clientCaFile, clientCrlFile: own('clientCrlFile') });
  if (tls.clientCaFile !== undefined) return;
  const where: Path = [...path, 'clientCertificates'];
  if (context.isWritten(where) && admin.tls?.clientCertificates !== 'off') {
    context.error(where, 'needs clientCaFile: client certificates are never verified against public authorities');
  }
  if (tls.clientCrlFile !== undefined) context.error([...path, 'clientCrlFile'], 'needs clientCaFile');
}

/** Without `authenticate` nothing may look as if somebody were asked who it is. */
function checkNobodyAsked(context: CheckContext, admin: AdminConfig, address: ListenAddress): void {
  for (const key of ['allow', 'login'] as const) {
    if (admin[key] !== undefined) context.error(['admin', key], 'needs admin.authenticate');
  }
  if (admin.metrics === 'protected') context.error(['admin', 'metrics'], 'needs admin.authenticate');
  const { publicUrl } = admin;
  if (publicUrl === undefined || !isLocal(address) || isLoopbackAddress(new URL(publicUrl).hostname)) return;
  const message = 'a proxy would bring others to the console, and nobody is asked who it is; add admin.authenticate';
  context.error(['admin', 'publicUrl'], message);
}

/** Tokens and session cookies cross no network in clear. Behind a proxy the listener is on loopback or a unix socket. */
function checkConfidential(context: CheckContext, admin: AdminConfig, address: ListenAddress): void {
  const { publicUrl, tls } = admin;
  if (tls === undefined && !isLocal(address)) {
    const message =
      'needs admin.tls: credentials would cross the network in clear; or listen on loopback behind a proxy';
    context.error(['admin', 'authenticate'], message);
  }
  if (publicUrl !== undefined && (isPlainHttp(publicUrl) || (tls !== undefined && publicUrl.startsWith('http:')))) {
    context.error(['admin', 'publicUrl'], 'must begin with https, except for plain HTTP on loopback');
  }
}

function checkAuthenticators(context: CheckContext, authenticate: Authenticate): void {
  const { admin, authenticators = {}, server } = context.draft;
  const tls = adminTlsOf({ admin: admin!, authenticators, server: server! });
  const asks = tls !== undefined && tls.clientCertificates !== 'off';
  const reason = tls === undefined ? 'there is no admin.tls' : 'admin.tls has no clientCaFile, or asks for none';
  const alternatives = alternativesOf(authenticate, ['admin', 'authenticate']);
  checkNames(context, namedBy(alternatives), !asks && reason);
  checkAlternatives(context, alternatives);
}

/** A token must be for the console, and log-in must come back to it: neither follows from an address that stands for many. */
function checkOrigin(
  context: CheckContext,
  { listen, login, publicUrl }: AdminConfig,
  authenticate: Authenticate,
  address: ListenAddress,
): void {
  if (publicUrl !== undefined || (address.kind === 'tcp' && !isWildcard(address))) return;
  const types = authenticatorNamesOf(authenticate).map((name) => authenticatorNamed(context, name)?.type);
  if (login === undefined && !types.includes('jwt') && !types.includes('introspection')) return;
  context.error(
    ['admin'],
    `needs publicUrl: ${context.show(listen)} does not say which address tokens and log-in are for`,
  );
}

function checkLogin(context: CheckContext, login: NonNullable<AdminConfig['login']>, authenticate: Authenticate): void {
  const path: Path = ['admin', 'login'];
  const { authenticator } = login;
  checkOAuthClient(login, path, context, true);
  const ofIssuers = authenticatorNamesOf(authenticate).filter(
    (name) => authenticatorNamed(context, name)?.type === 'jwt',
  );
  if (authenticator === undefined ? ofIssuers.length === 1 : ofIssuers.includes(authenticator)) return;
  if (authenticatorNamesOf(authenticate).some((name) => authenticatorNamed(context, name) === undefined)) return;
  const message =
    authenticator === undefined
      ? `needs authenticator: admin.authenticate names ${ofIssuers.length === 0 ? 'no' : 'more than one'} jwt authenticator`
      : `${context.show(authenticator)} is no jwt authenticator of admin.authenticate`;
  context.error(authenticator === undefined ? path : [...path, 'authenticator'], message);
}
