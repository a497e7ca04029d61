// Extraction of credentials from the head of a request: one credential, or a named refusal.
import fc from 'fast-check';
import t from 'tap';
import { type CredentialSources, extractCredentials } from '../../src/authn/extract-credentials.ts';
import { GatewayError } from '../../src/errors.ts';

const authenticators = {
  keys: { headers: new Set(['x-api-key', 'x-legacy-key']), byPrefix: [] },
  observe: { authenticationAttempted: () => {} },
};

/** The one token or key, its text in place of the token. */
function extract(rawHeaders: readonly string[], query = '') {
  const { tokenOrKey } = extractCredentials({ rawHeaders, query, peer: undefined, seen: [] }, authenticators);
  return tokenOrKey === undefined || tokenOrKey.kind === 'api-key'
    ? tokenOrKey
    : { ...tokenOrKey, token: tokenOrKey.token.text };
}

/** Status and code of the refusal, or `taken`. */
function outcome(sources: Pick<CredentialSources, 'rawHeaders'> & { query?: string }): string {
  try {
    extract(sources.rawHeaders, sources.query);
    return 'taken';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

t.test('a token, a key or nothing is taken as it stands', (t) => {
  t.equal(extract([]), undefined);
  const bearer = (token: string) => ({ kind: 'access-token', token, proof: undefined });
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    t.same(extract(['Host', 'x', 'Authorization', `${scheme} a.b-c_d~e+f/g==`]), bearer('a.b-c_d~e+f/g=='), scheme);
  }
  const key = `sk_${'a'.repeat(30_000)}`;
  t.same(extract(['X-API-Key', key]), { kind: 'api-key', key, header: 'x-api-key' });
  t.same(extract(['X-API-Key', 'sk_1']), { kind: 'api-key', key: 'sk_1', header: 'x-api-key' });
  t.same(extract(['X-Legacy-KEY', 'sk_1']), { kind: 'api-key', key: 'sk_1', header: 'x-legacy-key' });
  t.same(extract(['Authorization', `Bearer ${'a'.repeat(30_000)}`]), bearer('a'.repeat(30_000)));
  for (const scheme of ['DPoP', 'dpop', 'DPOP']) {
    const dpop = { kind: 'dpop-token', token: 't', proof: 'a.b.c' };
    t.same(extract(['DPoP', 'a.b.c', 'Authorization', `${scheme} t`]), dpop, scheme);
  }
  t.same(extract(['Authorization', 'DPoP t']), { kind: 'dpop-token', token: 't', proof: undefined });
  t.same(extract(['Authorization', 'Bearer t', 'DPoP', 'a.b.c']), bearer('t'), 'a bearer needs no proof');
  t.same(extract(['Proxy-Authorization', 'Bearer a', 'Authorization', 'Bearer b']), bearer('b'));
  t.end();
});

t.test('what is malformed, double or ambiguous is refused before anybody is asked', (t) => {
  const table: [string, string[]][] = [
    ['400 duplicate_header', ['Authorization', 'Bearer a', 'Authorization', 'Bearer b']],
    ['400 duplicate_header', ['Authorization', 'Bearer a', 'authorization', 'Bearer a']],
    ['400 duplicate_header', ['authorization', '', 'AUTHORIZATION', 'Bearer a']],
    ['400 duplicate_header', ['Authorization', 'DPoP a', 'dpop', 'p', 'DPoP', 'p']],
    ['400 duplicate_header', ['Authorization', 'Bearer a', 'DPoP', 'p', 'DPoP', 'q']],
    ['400 duplicate_header', ['Authorization', 'DPoP a', 'Authorization', 'Bearer a']],
    ['400 ambiguous_credentials', ['Authorization', 'DPoP a', 'DPoP', 'p', 'x-api-key', 'sk_1']],
    ['400 bad_request', ['Authorization', 'DPoP']],
    ['400 bad_request', ['Authorization', 'DPoP a, DPoP b']],
    ['400 duplicate_header', ['x-api-key', 'sk_1', 'X-Api-Key', 'sk_1']],
    ['400 ambiguous_credentials', ['x-api-key', 'sk_1', 'x-legacy-key', 'sk_2']],
    ['400 ambiguous_credentials', ['Authorization', 'Bearer a', 'x-api-key', 'sk_1']],
    ['400 ambiguous_credentials', ['x-api-key', 'sk_1', 'Authorization', 'Bearer sk_1']],
    ['400 ambiguous_credentials', ['x-api-key', '', 'Authorization', 'Bearer a']],
    ['400 bad_request', ['Authorization', '']],
    ['400 bad_request', ['Authorization', ' Bearer a']],
    ['400 bad_request', ['Authorization', 'Bearer']],
    ['400 bad_request', ['Authorization', 'Bearer ']],
    ['400 bad_request', ['Authorization', 'Bearer  a']],
    ['400 bad_request', ['Authorization', 'Bearer\ta']],
    ['400 bad_request', ['Authorization', 'Bearer a ']],
    ['400 bad_request', ['Authorization', 'Bearer a\t']],
    ['400 bad_request', ['Authorization', 'Bearer a\n']],
    ['400 bad_request', ['Authorization', 'Bearer a, Bearer b']],
    ['400 bad_request', ['Authorization', 'Bearer a,b']],
    ['400 bad_request', ['Authorization', 'Bearer a b']],
    ['400 bad_request', ['Authorization', 'Bearer a=b']],
    ['400 bad_request', ['Authorization', 'Bearer "a"']],
    ['400 bad_request', ['Authorization', 'Bearer ä']],
    ['400 bad_request', ['x-api-key', '']],
    ['400 bad_request', ['x-api-key', 'sk_1 sk_2']],
    ['400 bad_request', ['x-api-key', 'sk_1\t']],
    ['400 bad_request', ['x-api-key', 'sk_ä']],
    ['401 invalid_token', ['Authorization', 'Basic YTpi']],
    ['401 invalid_token', ['Authorization', 'Digest username="a", realm="b"']],
    ['401 invalid_token', ['Authorization', 'Negotiate']],
    ['401 invalid_token', ['Authorization', 'Bearer1 a']],
  ];
  for (const [expected, rawHeaders] of table)
    t.equal(outcome({ rawHeaders }), expected, JSON.stringify(rawHeaders).slice(0, 80));
  t.end();
});

t.test('a credential in the query is refused in every spelling, also beside a good header', (t) => {
  const refused = [
    'access_token=a',
    'access_token',
    'a=b&access_token=c',
    'a=b;access_token=c',
    '%61ccess_token=a',
    'access%5ftoken=a',
    'access%5Ftoken=a',
    '%61%63%63%65%73%73%5f%74%6f%6b%65%6e=a',
    'x-api-key=sk_1',
    'X-API-KEY=sk_1',
    'x%2dapi%2dkey=sk_1',
    'access_token=%zz',
  ];
  for (const query of refused) {
    t.equal(outcome({ rawHeaders: [], query }), '400 bad_request', query);
    t.equal(outcome({ rawHeaders: ['Authorization', 'Bearer a'], query }), '400 bad_request', query);
  }
  for (const query of ['a=access_token', 'Access_Token=a', 'access_token2=a', '%', 'a=%zz', '&&=', 'xaccess_token=1']) {
    t.equal(outcome({ rawHeaders: ['Authorization', 'Bearer a'], query }), 'taken', query);
  }
  t.end();
});

t.test('no refusal repeats what was sent', (t) => {
  const secret = 'sk_canary';
  const heads = [
    ['Authorization', `Bearer ${secret} x`],
    ['Authorization', `Basic ${secret}`],
    ['x-api-key', `${secret} `],
    ['x-api-key', secret, 'x-api-key', secret],
  ];
  for (const rawHeaders of heads) {
    try {
      extract(rawHeaders);
      t.fail('it was taken');
    } catch (error) {
      const { message, headers, reason } = error as GatewayError;
      t.notOk(JSON.stringify([message, headers, reason]).includes(secret), message);
    }
  }
  t.end();
});

t.test('whatever stands in the head, there is one credential or a named refusal', (t) => {
  const name = fc.constantFrom('authorization', 'Authorization', 'x-api-key', 'X-Legacy-Key', 'accept');
  const value = fc.oneof(
    fc.string(),
    fc.string().map((text) => `Bearer ${text}`),
    fc.constant('Bearer abc'),
  );
  const check = () =>
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), fc.string(), (headers, query) => {
        try {
          const found = extract(headers.flat(), query);
          return found === undefined || found.kind === 'api-key' || /^[\w.~+/-]+=*$/.test(found.token);
        } catch (error) {
          return error instanceof GatewayError && [400, 401].includes(error.status);
        }
      }),
    );
  t.doesNotThrow(check);
  t.end();
});
