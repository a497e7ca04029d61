// Callers whose request body took its time: what has expired or been revoked meanwhile is refused, and nothing else.
import { hash } from 'node:crypto';
import t from 'tap';
import { authenticate } from '../../src/authn/authenticate.ts';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { compileRevocations, noEntries, nothingRevoked, type Revocations } from '../../src/authn/caller/revocations.ts';
import { checkStillValid } from '../../src/authn/caller/still-valid.ts';
import { compileRequirements } from '../../src/authn/requirements.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { createRuntime, createSet, type Presented, peerOf, requestWith } from './fixture.ts';

const second = 1000;
const now = Math.floor(Date.now() / second) * second;
const key = 'sk_reporting';

t.test('expiry and revocation of each credential, asked a second time', async (t) => {
  const authority = await createCertificateAuthority();
  const issued = await authority.issue({ commonName: 'agent', notAfter: new Date(now + 60 * second) });
  const issuer = await createFakeIssuer();
  t.teardown(() => issuer.close());
  const runtime = createRuntime(t, now);
  const keyExpires = new Date(now + 10 * second).toISOString();
  const digest = `sha256:${hash('sha256', key, 'hex')}`;
  const set = createSet(
    {
      corp: { type: 'jwt', issuer: issuer.issuer, clockTolerance: '5s' },
      workloads: { type: 'mtls', allow: [{ commonName: 'agent', clientId: 'ai_agent_prod' }] },
      keys: { type: 'apiKey', keys: [{ id: 'k', hash: digest, clientId: 'c', scopes: [], expires: keyExpires }] },
    },
    runtime,
    { ca: authority.certificatePem },
  );
  const requirements = compileRequirements({ authenticate: { anyOf: ['corp', 'workloads', 'keys'] } }, set.byName);
  const peer = peerOf(issued.certificatePem);
  const token = await issuer.token({ jti: 'token-1', exp: now / second + 10 });

  /** The refusal of what was presented at `now`, some seconds later under this list; undefined where there is none. */
  async function later(presented: Presented, seconds: number, revocations: Revocations = nothingRevoked) {
    const caller = (await authenticate(requestWith(presented, runtime), requirements, set)) as Caller;
    const context = { now: now + seconds * second, revocations, authenticators: set };
    try {
      checkStillValid(caller, { ...context, certificates: [presented.certificate?.certificate] });
      return undefined;
    } catch (error) {
      const { code, reason } = error as { code: string; reason: string };
      return `${code} ${reason}`;
    }
  }

  t.equal(await later({ token }, 14.999), undefined, 'within the tolerance of the token');
  t.equal(await later({ token }, 15), 'invalid_token expired');
  t.equal(await later({ key }, 9.999), undefined);
  t.equal(await later({ key }, 10), 'invalid_api_key expired', 'a key has no tolerance');
  t.equal(await later({ certificate: peer }, 60.999), undefined, 'the last second of a certificate counts');
  t.equal(await later({ certificate: peer }, 61), 'invalid_certificate expired');
  t.equal(await later({ token, certificate: peer }, 14), undefined);

  const listed = (entries: Partial<typeof noEntries>) => compileRevocations({ ...noEntries, ...entries });
  t.equal(await later({ token }, 0, listed({ jti: ['token-1'] })), 'invalid_token revoked');
  t.equal(await later({ token }, 0, listed({ jti: ['token-2'] })), undefined);
  t.equal(await later({ key }, 0, listed({ keyIds: ['k'] })), 'invalid_api_key revoked');
  const fingerprint = `sha256:${peer.certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`;
  const certificates = listed({ certificates: [fingerprint] });
  t.equal(await later({ certificate: peer }, 0, certificates), 'invalid_certificate revoked');
  t.equal(await later({ token, certificate: peer }, 0, certificates), 'invalid_certificate revoked', 'beside a token');

  const bound = createSet({ corp: { type: 'jwt', issuer: issuer.issuer } }, runtime, { ca: authority.certificatePem });
  const ofTokens = compileRequirements({ authenticate: 'corp' }, bound.byName);
  const caller = (await authenticate(requestWith({ token, certificate: peer }, runtime), ofTokens, bound)) as Caller;
  t.throws(
    () =>
      checkStillValid(caller, {
        now,
        revocations: certificates,
        authenticators: bound,
        certificates: [peer.certificate],
      }),
    { code: 'invalid_certificate', reason: 'revoked' },
    'a certificate that stands for nobody',
  );
});
