// The parsers of certificate headers: what is canonical comes out as it went in, and nothing else comes out at all.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { parseClientCert } from '../../src/authn/certificate/client-cert-header.ts';
import { parseForwardedClientCert } from '../../src/authn/certificate/xfcc-header.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 80 }).map((array) => Buffer.from(array));
const item = (der: Buffer) => `:${der.toString('base64')}:`;
const pemOf = (der: Buffer) =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
const encoded = (...ders: readonly Buffer[]) => encodeURIComponent(ders.map(pemOf).join(''));
/** The few characters that Envoy encodes. */
const asEnvoy = (der: Buffer) =>
  pemOf(der).replace(/[\n +/=]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

t.test('Client-Cert and its chain: the bytes, in any split into lines', (t) => {
  fc.assert(
    fc.property(bytes, fc.array(bytes, { maxLength: 8 }), fc.nat(8), (leaf, chain, split) => {
      const lines = [chain.slice(0, split), chain.slice(split)].filter((part) => part.length > 0);
      const parsed = parseClientCert(
        [item(leaf)],
        lines.map((part) => part.map(item).join(', ')),
      );
      t.ok(parsed?.leaf.equals(leaf));
      t.ok(parsed?.chain.length === chain.length && parsed.chain.every((each, index) => each.equals(chain[index]!)));
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('Client-Cert: one spelling for each certificate, whatever is done to it', (t) => {
  const junk = fc.oneof(
    fc.string({ maxLength: 4 }),
    fc.constantFrom(' ', ':', '=', ',', ';a', 'A', '\u0000', '\u00e9'),
  );
  fc.assert(
    fc.property(bytes, fc.nat(120), junk, fc.nat(2), (leaf, at, text, drop) => {
      const written = item(leaf);
      const damaged = written.slice(0, at) + text + written.slice(at + drop);
      const parsed = parseClientCert([damaged], []);
      return parsed === undefined || item(parsed.leaf) === damaged;
    }),
  );
  for (const lines of [[], [item(Buffer.from('a')), item(Buffer.from('a'))]])
    t.equal(parseClientCert(lines, []), undefined);
  t.end();
});

t.test('X-Forwarded-Client-Cert: the certificate of the one element, in the shapes that proxies write', (t) => {
  fc.assert(
    fc.property(bytes, fc.array(bytes, { maxLength: 3 }), fc.boolean(), (leaf, chain, upper) => {
      const digest = createHash('sha256').update(leaf).digest('hex');
      const shapes = [
        `Cert="${encoded(leaf)}"`,
        `Cert=${encoded(leaf)}`,
        `cert="${asEnvoy(leaf)}"`,
        `By=spiffe://a/b;Hash=${upper ? digest.toUpperCase() : digest};Cert="${asEnvoy(leaf)}";Subject="/C=DE/CN=a \\"b\\", c";URI=spiffe://a/c;DNS=a;DNS=b`,
      ];
      for (const shape of shapes) t.ok(parseForwardedClientCert([shape])?.leaf.equals(leaf), shape);
      const whole = parseForwardedClientCert([`Cert="${encoded(leaf)}";Chain="${encoded(leaf, ...chain)}"`]);
      t.equal(whole?.chain.length, chain.length);
    }),
    { numRuns: 30 },
  );
  t.end();
});

t.test('X-Forwarded-Client-Cert: a second element, or anything that is no element, is never looked past', (t) => {
  const good = `Cert="${encoded(Buffer.from('a'))}"`;
  const other = `Cert="${encoded(Buffer.from('b'))}"`;
  fc.assert(
    fc.property(fc.string({ maxLength: 30 }), (text) => {
      t.equal(parseForwardedClientCert([`${text},${good}`]), undefined);
      t.equal(parseForwardedClientCert([`${good},${text}`]), undefined);
      const joined = parseForwardedClientCert([`${good}${text}${other}`]);
      // `;x` makes an `xCert` of the other one: still one element with one Cert.
      if (joined !== undefined) t.match(text, /^;.*[A-Za-z]$/s);
      t.notOk(joined?.leaf.equals(Buffer.from('b')));
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => parseForwardedClientCert([text]) === undefined));
  t.equal(parseForwardedClientCert([`${good};x${other}`])?.leaf.toString(), 'a');
  t.equal(parseForwardedClientCert([`${good};${other}`]), undefined);
  t.equal(parseForwardedClientCert([`Subject="a,b;c=\\\\";${good}`])?.leaf.toString(), 'a');
  t.end();
});
