// Keys of the subjects that sessions and limits belong to.
import t from 'tap';
import { clientKey, type Principal, subjectKey } from '../../src/authn/caller/principal.ts';

const issuer = 'https://idp.example/';
const person = { kind: 'oauth', issuer, subject: 'alice', clientId: 'app' } as const;

t.test('a person is the same through every client, and every other principal is another', (t) => {
  t.equal(subjectKey(person), subjectKey({ ...person, clientId: 'registered-anew' }));
  t.equal(subjectKey(person), subjectKey({ ...person, clientId: undefined }), 'a token that names no client');
  const others = [
    person,
    { ...person, subject: 'bob' },
    { ...person, issuer: 'https://other.example/' },
    { ...person, subject: 'app' },
    { ...person, kind: 'api-key', issuer: 'keys', subject: 'app' },
    { ...person, kind: 'mtls', issuer: 'workloads', subject: 'client-ai-agent-1' },
  ] as const;
  t.equal(new Set(others.map(subjectKey)).size, others.length);
  t.end();
});

t.test('a `sub` that equals the id of another client shares nothing with that client (RFC 9068 §5)', (t) => {
  const client = { ...person, subject: 'app' };
  t.not(subjectKey({ ...person, subject: 'app', clientId: 'evil' }), subjectKey(client));
  t.not(subjectKey({ ...person, subject: 'app', clientId: undefined }), subjectKey(client));
  t.end();
});

t.test('keys and certificates belong to their client, whatever their subject is', (t) => {
  for (const kind of ['api-key', 'mtls'] as const) {
    const one = { ...person, kind, issuer: kind };
    t.equal(subjectKey(one), subjectKey({ ...one, subject: 'spiffe://example/other' }));
    t.not(subjectKey(one), subjectKey({ ...one, clientId: 'other' }));
  }
  t.end();
});

t.test('a client is the same for all its people, and apart from every subject', (t) => {
  const principal = (more: Partial<Principal>): Principal => ({
    ...person,
    authenticator: 'corp',
    credentialId: undefined,
    scopes: [],
    claims: {},
    issuedAt: undefined,
    expiresAt: undefined,
    confirmation: undefined,
    ...more,
  });
  t.equal(clientKey(principal({})), clientKey(principal({ subject: 'bob' })));
  t.not(clientKey(principal({})), clientKey(principal({ clientId: 'other' })));
  t.not(clientKey(principal({})), clientKey(principal({ issuer: 'https://other.example/' })));
  t.equal(clientKey(principal({ clientId: undefined })), subjectKey(person), 'the subject where a token names none');
  t.end();
});
