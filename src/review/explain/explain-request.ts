// Explanation of a made-up request, or of one with a real credential: the credentials and the judgement.
import type { Caller } from '../../authn/caller/principal.ts';
import type { CredentialRecord } from '../../authn/credential.ts';
import { compileClaimRules, verifyClaims } from '../../authn/token/claims.ts';
import { createAccessToken } from '../../authn/token/compact-jws.ts';
import { createRequestIdScanner } from '../../mcp/request-id.ts';
import { type Call, resolveCall } from '../call-form.ts';
import { authenticateStated, resolveCaller, type StatedCredentials } from '../caller-form.ts';
import { type Judgement, judgeCall, routeOf } from '../judge.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CallerForm, type CallForm, FormError, type FormProblem, type RequestForm } from '../request-form.ts';
import { readCertificate } from './certificate-reading.ts';
import { type CredentialReading, type ReadingContext, textOf } from './credential-reading.ts';
import { readKey } from './key-reading.ts';
import { type Authenticated, authenticatePresented, type Presented } from './presented-credentials.ts';
import { explainJudgement, type RequestExplanation } from './request-explanation.ts';
import { readToken } from './token-reading.ts';

/** A request to be explained. */
export interface ExplainedRequest {
  /** Its `as` counts where nothing is presented. */
  readonly form: RequestForm;
  /** A whole JSON-RPC message, in place of the one of the form. */
  readonly message: Buffer | undefined;
  readonly presented: Presented | undefined;
  /** Nothing is fetched, and no signature of a token is verified. */
  readonly offline: boolean;
}

/** Explains a request. Throws FormError where it names what the policy file does not have. */
export async function explainRequest(
  policyFile: PolicyFile,
  request: ExplainedRequest,
  now: () => number,
): Promise<RequestExplanation> {
  const { form, offline, presented } = request;
  const { call, stated } = resolve(policyFile, request);
  const at = form.at ?? now();
  const clientAddress = form.from;
  const route = routeOf(call, policyFile);
  const authenticated =
    presented &&
    route &&
    (await authenticatePresented(presented, { at, call, clientAddress, offline, route }, policyFile));
  const seen: CredentialRecord[] = [];
  const judgement = judgeCall(policyFile, call, { at, clientAddress }, ({ route: matched }, records) => {
    if (authenticated !== undefined) return replay(authenticated, records);
    const context = { now: at, clientAddress, resource: matched.resource };
    try {
      return authenticateStated(stated, matched, policyFile, context, seen);
    } finally {
      records.push(...seen);
    }
  });
  const context = { policyFile, route, authenticated, at, clientAddress, offline };
  const credentials =
    presented === undefined ? readStated(form.as, judgement, seen) : readPresented(presented, context);
  const scopes = presented === undefined ? scopesOf(form.as) : scopesIn(presented, context);
  return {
    ...explainJudgement(policyFile, judgement, scopes),
    credentials,
    notes: notesOf(judgement, offline && presented?.token !== undefined),
  };
}

/** Throws FormError with all mistakes. */
function resolve(
  policyFile: PolicyFile,
  { form, message }: ExplainedRequest,
): { readonly call: Call; readonly stated: StatedCredentials } {
  const problems: FormProblem[] = [];
  const report = (problem: FormProblem) => problems.push(problem);
  // The route is found as for any message.
  const callForm: CallForm = message === undefined ? form.call : { ...form.call, mcp: { method: 'ping' } };
  const call = resolveCall(callForm, policyFile, report);
  const stated = resolveCaller(form.as, call && routeOf(call, policyFile), policyFile, report);
  if (call === undefined || stated === undefined || problems.length > 0) throw new FormError(problems);
  if (message === undefined) return { call, stated };
  const scanner = createRequestIdScanner();
  scanner.write(message);
  return { call: { ...call, body: message, rpcId: scanner.id() }, stated };
}

function replay({ caller, error, seen }: Authenticated, records: CredentialRecord[]): Caller | undefined {
  records.push(...seen);
  if (error !== undefined) throw error;
  return caller;
}

function readPresented({ certificate, key, token }: Presented, context: ReadingContext): CredentialReading[] {
  return [
    ...(certificate === undefined ? [] : [readCertificate(certificate, context)]),
    ...(token === undefined ? [] : [readToken(token, context)]),
    ...(key === undefined ? [] : [readKey(key, context)]),
  ];
}

const kinds = {
  'access-token': 'access token',
  'dpop-token': 'access token',
  'api-key': 'API key',
  'client-certificate': 'client certificate',
} as const;

/** Made-up credentials. The last one seen is that of a refusal. */
function readStated(form: CallerForm, { error }: Judgement, seen: readonly CredentialRecord[]): CredentialReading[] {
  const facts =
    form === 'none' ? {} : Object.fromEntries(Object.entries(form).filter(([, value]) => value !== undefined));
  const texts = Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, textOf(value)]));
  const refusedKind = (Object(error?.detail?.credential) as { readonly kind?: string }).kind;
  return seen.map(({ authenticator, id, kind }, index) => {
    const isRefused = refusedKind === kind;
    return {
      kind: kinds[kind],
      state: isRefused ? 'refused' : 'stated',
      authenticator,
      id,
      reason: isRefused ? error?.reason : undefined,
      why: isRefused ? `refused: ${error?.reason}` : 'as stated; there was no credential to verify',
      facts: index === seen.length - 1 ? texts : {},
    };
  });
}

function scopesOf(form: CallerForm): readonly string[] {
  return form === 'none' ? [] : (form.scopes ?? []);
}

/** The scopes that a credential names itself, before any cap. */
function scopesIn({ token }: Presented, { authenticated, at, policyFile, route }: ReadingContext): readonly string[] {
  const { authenticators } = policyFile.loaded.config;
  const own = authenticated?.caller?.principal;
  const config = authenticators[own?.authenticator ?? ''];
  if (config?.type === 'apiKey') return config.keys?.find(({ id }) => id === own?.credentialId)?.scopes ?? [];
  const jws = token === undefined ? undefined : createAccessToken(token).jws();
  if (config?.type !== 'jwt' || jws === undefined || route === undefined) return [];
  const rules = { ...compileClaimRules('', config, []), maxScopes: undefined };
  const verified = verifyClaims(jws.claims, rules, route, at);
  return 'principal' in verified ? (verified.principal.scopes ?? []) : [];
}

function notesOf({ attributes, error, route }: Judgement, isUnverified: boolean): string[] {
  const { message } = attributes ?? {};
  const needsSession =
    route?.sessions !== undefined && attributes !== undefined && (message === undefined || message.kind === 'response');
  const notes = [
    [isUnverified, 'The signature of the token was not verified: whoever made it may have written anything into it.'],
    [
      needsSession,
      'Where the upstream issues sessions, this also needs a verified session id, which is not looked at here.',
    ],
    [
      error === undefined && message?.target !== undefined && route?.mcp?.catalog !== undefined,
      'mcp.catalog pins definitions: while the upstream has another one than was recorded, a running gateway may deny this.',
    ],
  ] as const;
  return notes.flatMap(([applies, note]) => (applies ? [note] : []));
}
