// Authentication of a request: every form of `authenticate` against every combination of credentials.
import { hash } from 'node:crypto';
import t from 'tap';
import { type AuthenticateConfig, authenticatorNamesOf } from '../../src/authn/alternatives.ts';
import { authenticate } from '../../src/authn/authenticate.ts';
import type { Caller } from '../../src/authn/caller/principal.ts';
import type { CredentialRecord } from '../../src/authn/credential.ts';
import { type AuthenticatorSet, closeAuthenticators } from '../../src/authn/registry.ts';
import { compileRequirements } from '../../src/authn/requirements.ts';
import { GatewayError } from '../../src/errors.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { createRuntime, createSet, type Presented as PresentedText, peerOf, requestWith } from './fixture.ts';

const key = 'sk_reporting';
const expiredKey = 'sk_expired';
const hashOf = (text: string) => `sha256:${hash('sha256', text, 'hex')}`;

const authority = await createCertificateAuthority();
const otherAuthority = await createCertificateAuthority();
const issuer = await createFakeIssuer();
const partnerIssuer = await createFakeIssuer();
t.teardown(() => Promise.all([issuer.close(), partnerIssuer.close()]));

const agent = await authority.issue({ commonName: 'client-ai-agent-1' });
const narrow = await authority.issue({ commonName: 'client-ai-agent-2' });
const reporting = await authority.issue({ commonName: 'client-reporting' });
const unlisted = await authority.issue({ commonName: 'stranger' });
const foreign = await otherAuthority.issue({ commonName: 'client-ai-agent-1' });
const second = await authority.issue({ uris: ['spiffe://example.com/second'] });

const written = {
  corp: { type: 'jwt', issuer: issuer.issuer },
  partner: { type: 'jwt', issuer: partnerIssuer.issuer },
  workloads: {
    type: 'mtls',
    allow: [
      { commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod' },
      { commonName: 'client-ai-agent-2', clientId: 'ai_agent_prod', scopes: ['dashboards:read', 'exports:create'] },
      { commonName: 'client-reporting', clientId: 'reporting_tool', scopes: ['dashboards:read'] },
    ],
  },
  mesh: { type: 'mtls', allow: [{ uri: 'spiffe://example.com/second', clientId: 'second', scopes: ['queries:read'] }] },
  keys: {
    type: 'apiKey',
    sunset: '2100-01-01',
    keys: [
      { id: 'key-1', hash: hashOf(key), clientId: 'reporting_tool', scopes: ['dashboards:read', 'queries:read'] },
      { id: 'key-2', hash: hashOf(expiredKey), clientId: 'reporting_tool', scopes: [], expires: '2020-01-01' },
    ],
  },
  'partner-keys': {
    type: 'apiKey',
    header: 'x-partner-key',
    prefix: 'sk_partner_',
    keys: [
      {
        id: 'key-3',
        hash: hashOf('sk_partner_1'),
        clientId: 'partner',
        scopes: ['dashboards:read'],
        expires: '2100-01-01',
      },
    ],
  },
};

const runtime = createRuntime(t);
const set = createSet(written, runtime, { ca: authority.certificatePem });

const tokens = {
  good: await issuer.token(),
  narrow: await issuer.token({ scope: 'dashboards:read' }),
  expired: await issuer.token({ exp: 1000, jti: 'jti-expired' }),
  'wrong audience': await issuer.token({ aud: 'x' }),
  partner: await partnerIssuer.token(),
  'unknown issuer': await issuer.token({ iss: 'https://elsewhere.example/' }),
  'other client': await issuer.token({ client_id: 'analytics_frontend' }),
  'no client': await issuer.token({ client_id: undefined }),
  opaque: 'opaque',
};
const certificates = {
  agent: peerOf(agent.certificatePem),
  narrow: peerOf(narrow.certificatePem),
  reporting: peerOf(reporting.certificatePem),
  unlisted: peerOf(unlisted.certificatePem),
  foreign: peerOf(foreign.certificatePem),
  refused: peerOf(agent.certificatePem, [], 'CERT_HAS_EXPIRED'),
  second: peerOf(second.certificatePem),
};
const keys = { good: key, expired: expiredKey, unknown: 'sk_unknown', 'of nobody': 'pk_1', partner: 'sk_partner_1' };

interface Presented {
  readonly token?: keyof typeof tokens;
  readonly key?: keyof typeof keys;
  readonly certificate?: keyof typeof certificates;
  readonly keyHeader?: string;
  readonly asBearer?: boolean;
}

interface Route {
  readonly authenticate: AuthenticateConfig;
  readonly certificateFor?: readonly string[];
}

function textsOf(presented: Presented): PresentedText {
  const given = presented.key && keys[presented.key];
  const token = presented.token ? tokens[presented.token] : presented.asBearer ? given : undefined;
  return {
    certificate: presented.certificate && certificates[presented.certificate],
    token,
    key: token === undefined ? given : undefined,
    keyHeader: presented.keyHeader,
  };
}

async function ask(
  route: Route,
  presented: Presented,
  authenticators: AuthenticatorSet = set,
): Promise<{
  caller: Caller | undefined;
  refusal: string | undefined;
  error: GatewayError | undefined;
  seen: CredentialRecord[];
}> {
  const requirements = compileRequirements(route, authenticators.byName);
  const seen: CredentialRecord[] = [];
  try {
    const caller = await authenticate(requestWith(textsOf(presented), runtime, seen), requirements, authenticators);
    return { caller, refusal: undefined, error: undefined, seen };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const refusal = `${error.status} ${error.code}${error.reason === undefined ? '' : ` ${error.reason}`}`;
    return { caller: undefined, refusal, error, seen };
  }
}

/** `oauth:corp` and the scopes, or the refusal. */
async function outcome(route: Route, presented: Presented): Promise<string> {
  const { caller, refusal } = await ask(route, presented);
  if (refusal !== undefined) return refusal;
  return caller === undefined ? 'open' : `${caller.method} ${caller.principal.clientId} [${caller.scopes.join(' ')}]`;
}

const none = '401 credentials_required';
const agentToken = 'oauth ai_agent_prod [dashboards:read queries:execute]';
const both = 'mtls+oauth ai_agent_prod [dashboards:read queries:execute]';

t.test('each form of authenticate against each combination of credentials', async (t) => {
  const anyOf: Route = { authenticate: { anyOf: ['corp', 'keys'] } };
  const allOf: Route = { authenticate: { allOf: ['corp', 'workloads'] } };
  const mixed: Route = { authenticate: { anyOf: [{ allOf: ['corp', 'workloads'] }, 'keys'] } };
  const token: Route = { authenticate: 'corp' };
  const certificate: Route = { authenticate: 'workloads' };
  const optional: Route = { authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] } };
  const onlyOptional: Route = { authenticate: { optional: ['corp'] } };
  const anyAndAll: Route = { authenticate: { anyOf: ['corp', 'keys'], allOf: ['workloads'] } };
  const open: Route = { authenticate: 'none' };
  const reportingKey = 'api-key reporting_tool [dashboards:read queries:read]';

  const table: [Route, Presented, string][] = [
    [open, {}, 'open'],
    [open, { token: 'expired', certificate: 'foreign' }, 'open'],
    [open, { key: 'unknown' }, 'open'],

    [token, {}, none],
    [token, { token: 'good' }, agentToken],
    [token, { token: 'narrow' }, 'oauth ai_agent_prod [dashboards:read]'],
    [token, { token: 'expired' }, '401 invalid_token expired'],
    [token, { token: 'wrong audience' }, '401 invalid_token audience'],
    [token, { token: 'unknown issuer' }, '401 invalid_token issuer'],
    [token, { token: 'opaque' }, '401 invalid_token format'],
    [token, { token: 'partner' }, '401 invalid_token not_accepted'],
    [token, { key: 'good' }, '401 invalid_api_key not_accepted'],
    [token, { key: 'good', asBearer: true }, '401 invalid_api_key not_accepted'],
    [token, { key: 'expired' }, '401 invalid_api_key expired'],
    [token, { key: 'of nobody' }, '401 invalid_token unknown'],
    [token, { certificate: 'agent' }, none],
    [token, { certificate: 'unlisted' }, '401 invalid_certificate identity'],
    [token, { certificate: 'foreign' }, '401 invalid_certificate untrusted'],
    [token, { certificate: 'refused' }, '401 invalid_certificate expired'],
    [token, { token: 'good', certificate: 'agent' }, both],
    [token, { token: 'good', certificate: 'narrow' }, 'mtls+oauth ai_agent_prod [dashboards:read]'],
    [token, { token: 'good', certificate: 'unlisted' }, '401 invalid_certificate identity'],
    [token, { token: 'good', certificate: 'foreign' }, '401 invalid_certificate untrusted'],
    [token, { token: 'expired', certificate: 'foreign' }, '401 invalid_certificate untrusted'],
    [token, { token: 'expired', certificate: 'agent' }, '401 invalid_token expired'],
    [token, { token: 'good', certificate: 'reporting' }, '403 denied client_mismatch'],
    [token, { token: 'no client', certificate: 'agent' }, '403 denied client_mismatch'],
    [token, { token: 'no client' }, 'oauth undefined [dashboards:read queries:execute]'],

    [certificate, {}, none],
    [certificate, { certificate: 'agent' }, 'mtls ai_agent_prod []'],
    [certificate, { certificate: 'narrow' }, 'mtls ai_agent_prod [dashboards:read exports:create]'],
    [certificate, { certificate: 'unlisted' }, '401 invalid_certificate identity'],
    [certificate, { certificate: 'foreign' }, '401 invalid_certificate untrusted'],
    [certificate, { certificate: 'second' }, none],
    [certificate, { token: 'good' }, '401 invalid_token not_accepted'],
    [certificate, { token: 'good', certificate: 'agent' }, '401 invalid_token not_accepted'],
    [certificate, { token: 'expired', certificate: 'agent' }, '401 invalid_token expired'],
    [certificate, { key: 'good', certificate: 'reporting' }, '401 invalid_api_key not_accepted'],
    [certificate, { key: 'unknown', certificate: 'agent' }, '401 invalid_api_key unknown'],

    [anyOf, {}, none],
    [anyOf, { token: 'good' }, agentToken],
    [anyOf, { key: 'good' }, reportingKey],
    [anyOf, { key: 'good', asBearer: true }, reportingKey],
    [anyOf, { key: 'expired' }, '401 invalid_api_key expired'],
    [anyOf, { key: 'unknown' }, '401 invalid_api_key unknown'],
    [anyOf, { key: 'unknown', asBearer: true }, '401 invalid_api_key unknown'],
    [anyOf, { key: 'good', keyHeader: 'x-partner-key' }, '401 invalid_api_key format'],
    [anyOf, { key: 'partner' }, '401 invalid_api_key format'],
    [anyOf, { key: 'partner', keyHeader: 'x-partner-key' }, '401 invalid_api_key not_accepted'],
    [anyOf, { certificate: 'agent' }, none],
    [anyOf, { key: 'good', certificate: 'reporting' }, 'mtls+api-key reporting_tool [dashboards:read]'],
    [anyOf, { key: 'good', certificate: 'agent' }, '403 denied client_mismatch'],
    [anyOf, { key: 'good', certificate: 'foreign' }, '401 invalid_certificate untrusted'],

    [allOf, {}, none],
    [allOf, { token: 'good' }, none],
    [allOf, { certificate: 'agent' }, none],
    [allOf, { token: 'good', certificate: 'agent' }, both],
    [allOf, { token: 'good', certificate: 'narrow' }, 'mtls+oauth ai_agent_prod [dashboards:read]'],
    [allOf, { token: 'good', certificate: 'reporting' }, '403 denied client_mismatch'],
    [allOf, { token: 'good', certificate: 'unlisted' }, '401 invalid_certificate identity'],
    [allOf, { token: 'good', certificate: 'second' }, none],
    [allOf, { token: 'expired', certificate: 'agent' }, '401 invalid_token expired'],
    [allOf, { key: 'good', certificate: 'reporting' }, '401 invalid_api_key not_accepted'],

    [mixed, { token: 'good' }, none],
    [mixed, { token: 'good', certificate: 'agent' }, both],
    [mixed, { key: 'good' }, reportingKey],
    [mixed, { key: 'good', certificate: 'agent' }, '403 denied client_mismatch'],

    [optional, {}, none],
    [optional, { certificate: 'agent' }, none],
    [optional, { token: 'good' }, agentToken],
    [optional, { token: 'good', certificate: 'agent' }, both],
    [optional, { token: 'good', certificate: 'foreign' }, '401 invalid_certificate untrusted'],

    [anyAndAll, { token: 'good' }, none],
    [anyAndAll, { token: 'good', certificate: 'agent' }, both],
    [anyAndAll, { key: 'good', certificate: 'reporting' }, 'mtls+api-key reporting_tool [dashboards:read]'],

    [onlyOptional, {}, none],
    [onlyOptional, { token: 'good' }, none],
  ];
  for (const [route, presented, expected] of table) {
    t.equal(await outcome(route, presented), expected, JSON.stringify([route.authenticate, presented]));
  }
});

t.test('certificateFor demands a certificate beside the tokens and keys of its clients only', async (t) => {
  const route: Route = {
    authenticate: { anyOf: ['corp', 'keys'] },
    certificateFor: ['ai_agent_prod', 'keys/reporting_tool'],
  };
  const required = '401 credentials_required certificate';
  t.equal(await outcome(route, { token: 'good' }), required);
  t.equal(await outcome(route, { token: 'good', certificate: 'agent' }), both);
  t.equal(await outcome(route, { token: 'good', certificate: 'reporting' }), '403 denied client_mismatch');
  t.equal(await outcome(route, { key: 'good' }), required);
  t.equal(
    await outcome(route, { key: 'good', certificate: 'reporting' }),
    'mtls+api-key reporting_tool [dashboards:read]',
  );
  t.match(await outcome(route, { token: 'other client' }), /^oauth analytics_frontend/);
  const qualified: Route = { ...route, certificateFor: ['partner/ai_agent_prod'] };
  t.equal(await outcome(qualified, { token: 'good' }), agentToken, 'the client of another issuer is not meant');
});

t.test('a certificate goes to the verifiers that the route names, then to the others', async (t) => {
  t.match((await ask({ authenticate: 'mesh' }, { certificate: 'second' })).caller, {
    method: 'mtls',
    principal: { kind: 'mtls', authenticator: 'mesh', issuer: 'mesh', subject: 'spiffe://example.com/second' },
    certificate: undefined,
    scopes: ['queries:read'],
  });
  const { certificates: inOrder } = compileRequirements({ authenticate: { allOf: ['corp', 'mesh'] } }, set.byName);
  t.same(
    inOrder.map(({ name }) => name),
    ['mesh', 'workloads'],
  );
  const { caller } = await ask({ authenticate: 'corp' }, { token: 'good', certificate: 'agent' });
  t.same(caller?.authenticatedBy, ['corp', 'workloads'], 'an idle certificate is recorded');
  t.match(caller?.certificate, { authenticator: 'workloads', subject: 'client-ai-agent-1' });
});

t.test('what was presented is known afterwards, also of a refused request', async (t) => {
  const id = (await ask({ authenticate: 'workloads' }, { certificate: 'agent' })).seen[0]?.id;
  t.match(id, /^sha256:[0-9a-f]{64}$/);
  const nobody = { authenticator: undefined, id: undefined, client: undefined };
  const certificate = { kind: 'client-certificate', authenticator: 'workloads', id, client: 'ai_agent_prod' };
  const key = { kind: 'api-key', authenticator: 'keys', client: 'reporting_tool' };
  const token = { kind: 'access-token', authenticator: 'corp', id: 'jti-expired', client: 'ai_agent_prod' };
  const table: [Route, Presented, object[]][] = [
    [{ authenticate: 'none' }, { key: 'good' }, []],
    [{ authenticate: 'corp' }, {}, []],
    [{ authenticate: 'keys' }, { key: 'good' }, [{ ...key, id: 'key-1' }]],
    [{ authenticate: 'corp' }, { key: 'good' }, [{ ...key, id: 'key-1' }]],
    [{ authenticate: 'keys' }, { key: 'expired' }, [{ ...key, id: 'key-2' }]],
    [{ authenticate: 'corp' }, { token: 'opaque' }, [{ ...nobody, kind: 'access-token' }]],
    [{ authenticate: 'corp' }, { token: 'expired', certificate: 'agent' }, [certificate, token]],
    [
      { authenticate: 'corp' },
      { token: 'good', certificate: 'foreign' },
      [
        { ...nobody, kind: 'client-certificate' },
        { ...nobody, kind: 'access-token' },
      ],
    ],
  ];
  for (const [route, presented, expected] of table) {
    const { seen } = await ask(route, presented);
    const told = seen.map(({ principal, ...others }) => ({ ...others, client: principal?.clientId }));
    t.same(told, expected, JSON.stringify(presented));
  }
});

t.test('every judgement is observed once, under names of the configuration', async (t) => {
  const judged = async (presented: Presented) => {
    runtime.judgements.length = 0;
    await ask({ authenticate: 'corp' }, presented);
    return runtime.judgements.map((each) => `${each.authenticator} ${each.result} ${each.reason}`);
  };
  t.same(await judged({ token: 'good' }), ['corp verified none']);
  t.same(await judged({ token: 'good', certificate: 'agent' }), ['workloads verified none', 'corp verified none']);
  t.same(await judged({ token: 'expired' }), ['corp refused expired']);
  t.same(await judged({ token: 'unknown issuer' }), ['none refused issuer']);
  t.same(await judged({ certificate: 'unlisted' }), ['workloads refused identity']);
  t.same(await judged({ key: 'of nobody' }), ['none refused unknown']);
  t.same(await judged({}), []);
});

t.test('refusals say what to do, the same for each reason, and repeat nothing', async (t) => {
  const route: Route = { authenticate: { anyOf: ['keys', { allOf: ['corp', 'workloads'] }] } };
  t.equal(
    (await ask(route, {})).error?.message,
    'Authentication is required: present an API key, or an access token and a client certificate.',
  );
  const messages = await Promise.all(
    (['expired', 'unknown'] as const).map(async (each) => (await ask(route, { key: each })).error?.message),
  );
  t.equal(new Set(messages).size, 1);
  for (const presented of [{ token: 'expired' }, { key: 'unknown' }, { certificate: 'unlisted' }] as Presented[]) {
    const { error } = await ask(route, presented);
    t.notMatch(JSON.stringify([error?.message, error?.headers]), /sk_|eyJ|stranger|corp|workloads|expired/);
  }
});

t.test('an issuer that cannot be reached is 503, also beside a good certificate, and nobody is let in', async (t) => {
  const down = await createFakeIssuer();
  t.teardown(() => down.close());
  down.fault = 'down';
  const cold = createRuntime(t);
  const isolated = createSet({ ...written, corp: { type: 'jwt', issuer: down.issuer } }, cold, {
    ca: authority.certificatePem,
  });
  const requirements = compileRequirements({ authenticate: 'corp' }, isolated.byName);
  const seen: CredentialRecord[] = [];
  const request = requestWith({ token: await down.token(), certificate: certificates.agent }, cold, seen);
  for (let count = 0; count < 2; count++) {
    await t.rejects(authenticate(request, requirements, isolated), { status: 503, code: 'idp_unavailable' });
  }
  t.match(seen[1], { kind: 'access-token', authenticator: 'corp', id: undefined });
  t.match(cold.judgements.at(-1), { authenticator: 'corp', result: 'unavailable' });
  t.notOk([...isolated.keySets.values()].every((keySet) => keySet.ready()));
  const ofKeys = compileRequirements({ authenticate: 'keys' }, isolated.byName);
  t.match(await authenticate(requestWith({ key }, cold), ofKeys, isolated), { method: 'api-key' });
});

t.test('a reload goes on with the key sets it has, and forgets verified tokens', async (t) => {
  const reloading = createRuntime(t);
  const before = createSet(written, reloading, { ca: authority.certificatePem });
  const present = (authenticators: AuthenticatorSet) =>
    authenticate(
      requestWith({ token: tokens.good }, reloading),
      compileRequirements({ authenticate: 'corp' }, authenticators.byName),
      authenticators,
    );
  await present(before);
  await present(before);
  t.match(reloading.judgements.at(-1), { cached: true });
  const fetches = issuer.requests.keys;
  const { partner, ...rest } = written;
  const after = createSet(
    { ...rest, corp: { ...written.corp, maxScopes: ['dashboards:read'] } },
    reloading,
    { ca: authority.certificatePem },
    before,
  );
  t.same([...after.keySets.keys()], [...before.keySets.keys()].slice(0, 1));
  t.equal([...after.keySets.values()][0], [...before.keySets.values()][0], 'the same key set');
  t.match(await present(after), { scopes: ['dashboards:read'] });
  t.match(reloading.judgements.at(-1), { cached: false }, 'verified anew');
  t.equal(issuer.requests.keys, fetches);
  closeAuthenticators(before, after);
  t.match(await present(after), { scopes: ['dashboards:read'] }, 'what is carried over stays open');
  t.equal(partner.type, 'jwt');
});

t.test('a cached token is verified again when the keys of its issuer change', async (t) => {
  const rotating = await createFakeIssuer();
  t.teardown(() => rotating.close());
  const own = createRuntime(t);
  const authenticators = createSet({ corp: { type: 'jwt', issuer: rotating.issuer } }, own);
  const requirements = compileRequirements({ authenticate: 'corp' }, authenticators.byName);
  const present = (token: string) => authenticate(requestWith({ token }, own), requirements, authenticators);
  const old = await rotating.token();
  await present(old);
  await present(old);
  t.match(own.judgements.at(-1), { cached: true });
  rotating.rotate();
  own.clock += 10_000;
  t.match(await present(await rotating.token()), { method: 'oauth' });
  await t.rejects(present(old), { code: 'invalid_token', reason: 'unknown_key' });
});

t.test('requirements name what routes name', (t) => {
  t.same(authenticatorNamesOf('none'), []);
  t.same(authenticatorNamesOf('corp'), ['corp']);
  t.same(authenticatorNamesOf({ anyOf: ['corp', { allOf: ['corp', 'workloads'] }], optional: ['mesh', 'corp'] }), [
    'corp',
    'workloads',
    'mesh',
  ]);
  t.equal(compileRequirements({ authenticate: 'none' }, set.byName).kind, 'none');
  t.equal(compileRequirements({ authenticate: 'none' }, new Map()).kind, 'none');
  t.equal(compileRequirements({ authenticate: 'corp' }, set.byName).kind, 'required');
  t.throws(() => compileRequirements({ authenticate: 'toString' }, set.byName), /unknown authenticator/);
  t.end();
});
