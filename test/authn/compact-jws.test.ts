// Compact JWS (RFC 7515 §7.1): canonical spelling, and the issuer of a token that is not verified yet.
import fc from 'fast-check';
import t from 'tap';
import { createAccessToken, isOpaque, parseCompactJws, unverifiedIssuer } from '../../src/authn/token/compact-jws.ts';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

t.test('whatever is read as a token is its own canonical spelling', (t) => {
  const piece = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url')),
    fc.object().map(encode),
  );
  const check = () =>
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 4 }), (pieces) => {
        const text = pieces.join('.');
        const token = parseCompactJws(text);
        if (token === undefined) return true;
        const segments = text.split('.');
        const canonical = segments.every((each) => Buffer.from(each, 'base64url').toString('base64url') === each);
        return segments.length === 3 && canonical && token.text === text;
      }),
      { numRuns: 2000 },
    );
  t.doesNotThrow(check);
  t.end();
});

t.test('every string of bytes has exactly one spelling that is taken', (t) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const head = encode({ alg: 'ES256' });
  for (const bytes of [1, 2, 3]) {
    const signature = Buffer.alloc(bytes, 0xa5).toString('base64url');
    const taken = [...alphabet].filter((last) => {
      const spelling = signature.slice(0, -1) + last;
      const same = Buffer.from(spelling, 'base64url').equals(Buffer.alloc(bytes, 0xa5));
      return same && parseCompactJws(`${head}.${encode({})}.${spelling}`) !== undefined;
    });
    t.equal(taken.length, 1, `${bytes} bytes`);
  }
  t.equal(parseCompactJws(`${head}.${encode({})}.AAAAA`), undefined, 'a length that no bytes have');
  t.end();
});

t.test('an access token is parsed once, and only when it is asked for', (t) => {
  const token = createAccessToken(`${encode({ alg: 'ES256' })}.${encode({ iss: 'a' })}.AAAA`);
  const jws = token.jws();
  t.match(jws, { claims: { iss: 'a' } });
  t.equal(token.jws(), jws);
  t.equal(createAccessToken('opaque').jws(), undefined);
  t.end();
});

t.test('long hostile texts are refused as well', (t) => {
  const texts = [
    'A'.repeat(262_144),
    '.'.repeat(262_144),
    'A.'.repeat(131_072),
    `${'A'.repeat(262_000)}.${'A'.repeat(100)}=`,
  ];
  for (const text of texts) t.equal(parseCompactJws(text), undefined);
  const deep = Buffer.from('['.repeat(5000)).toString('base64url');
  t.equal(parseCompactJws(`${deep}.${deep}.AAAA`), undefined);
  t.end();
});

t.test('the issuer is peeked at only as text', (t) => {
  const peek = (claims: unknown) => {
    const token = parseCompactJws(`${encode({})}.${encode(claims)}.AAAA`);
    return token && unverifiedIssuer(token);
  };
  t.equal(peek({ iss: 'https://idp.example/' }), 'https://idp.example/');
  for (const iss of [['https://idp.example/'], 7, null, { a: 1 }, undefined]) t.equal(peek({ iss }), undefined);
  t.end();
});

t.test('a token is opaque that hides its issuer by design, and none that is a spoilt JWT', async (t) => {
  const jwt = 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIn0.AAAA';
  for (const text of [
    'abc',
    'ory_at_x.y',
    'v4.public.abc',
    'ey',
    'eyJhbGci',
    'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA',
    '...',
  ]) {
    t.equal(isOpaque(text), true, text);
  }
  // Between the start of the header, by which it is known, and the end anything may have gone wrong.
  const spoiling = fc.record({
    at: fc.integer({ min: 12, max: jwt.length }),
    cut: fc.integer({ min: 0, max: 3 }),
    put: fc.stringMatching(/^[A-Za-z0-9_~+/=-]{0,3}$/),
  });
  fc.assert(
    fc.property(spoiling, ({ at, cut, put }) => {
      const text = jwt.slice(0, at) + put + jwt.slice(at + cut);
      return !text.includes('.') || parseCompactJws(text) !== undefined || !isOpaque(text);
    }),
  );
  // Such as Ory's: random bytes, a dot, and their authentication code.
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, bytes, (random, code) => {
      return isOpaque(`${Buffer.from(random).toString('base64url')}.${Buffer.from(code).toString('base64url')}`);
    }),
    { numRuns: 2000 },
  );
});
