// PEM files with certificates: each block is read or the file is refused, by the number of the block, and nothing is read that OpenSSL would not.
import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { parseCertificates, parsePem, parsePemBlocks } from '../../src/pem.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';

const authority = await createCertificateAuthority();
const { certificatePem: first, keyPem } = await authority.issue({ commonName: 'first' });
const { certificatePem: second } = await authority.issue({ commonName: 'second' });
const serials = [first, second].map((pem) => new X509Certificate(pem).serialNumber);
const trimmed = first.trim();
const content = trimmed.split('\n').slice(1, -1);
const begin = '-----BEGIN CERTIFICATE-----';
const end = '-----END CERTIFICATE-----';

const serialsOf = (pem: string) => parseCertificates(pem).map(({ serialNumber }) => serialNumber);

t.test('every certificate of a file, whatever stands between the blocks', (t) => {
  const files: Record<string, string> = {
    'one after the other': `${trimmed}\n${second}`,
    'without a last line end': `${trimmed}\n${second.trim()}`,
    'lines that end in CRLF': `${trimmed}\n${second}`.replaceAll('\n', '\r\n'),
    'white space at the ends of lines': `${trimmed}\n${second}`.replaceAll('\n', ' \t\n'),
    'a byte order mark': `\uFEFF${trimmed}\n${second}`,
    'comments, empty lines and rules': `# ours\n${trimmed}\n\n=====\n----------\nAAAA\n${second}`,
    'one long line': `${begin}\n${content.join('')}\n${end}\n${second}`,
    'short lines': `${begin}\n${content.join('').replace(/.{1,10}/g, '$&\n')}${end}\n${second}`,
  };
  for (const [name, pem] of Object.entries(files)) t.same(serialsOf(pem), serials, name);
  const encrypted =
    '-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----';
  t.same(serialsOf(`${trimmed}\n${keyPem}\n${encrypted}\n${second}`), serials, 'keys beside them');
  t.same(
    parsePemBlocks(`${encrypted}\n${keyPem}`).map(({ number, label, der }) => [number, label, der === undefined]),
    [
      [1, 'RSA PRIVATE KEY', true],
      [2, 'PRIVATE KEY', false],
    ],
  );
  t.end();
});

t.test('a file with a damaged block is refused by the number of that block', (t) => {
  const cases: [name: string, pem: string, message: string][] = [
    ['two blocks without a line end between them', trimmed + second, 'PEM block 1 is damaged: a boundary is not'],
    ['a second block without its end', `${trimmed}\n${second.slice(0, 200)}`, 'PEM block 2 is damaged: it is cut off'],
    ['a second block cut in its END line', `${trimmed}\n${second.trim().slice(0, -3)}`, 'PEM block 2 is damaged'],
    ['a second block cut in its BEGIN line', `${trimmed}\n-----BEGIN CERT`, 'PEM block 2 is damaged'],
    ['a second block cut at the very start', `${trimmed}\n-----BEG`, 'PEM block 2 is damaged'],
    ['a block that begins in another', `${begin}\n${trimmed}\n${second}`, 'PEM block 1 is damaged: another one begins'],
    ['an end without a beginning', `${trimmed}\n${end}\n${second}`, 'PEM block 2 is damaged: it ends without'],
    ['another label at the end', trimmed.replace('END CERT', 'END X509 CERT'), 'PEM block 1 is damaged: it begins as'],
    ['an indented block', `${trimmed}\n ${second}`, 'PEM block 2 is damaged: a boundary is not'],
    ['a missing dash', `${trimmed}\n${second.trim().slice(1)}`, 'PEM block 2 is damaged: a boundary is not'],
    ['the content in the first line', trimmed.replace(`${begin}\n`, begin), 'PEM block 1 is damaged'],
    ['the end in the last line', trimmed.replace(`\n${end}`, end), 'PEM block 1 is damaged'],
    [
      'an empty line in a block',
      `${trimmed}\n${second.replace('\nM', '\n\nM')}`,
      'PEM block 2 is damaged: it is not Base64',
    ],
    ['a lost character', `${trimmed}\n${second.replace('\nM', '\n')}`, 'PEM block 2 is damaged: it is not Base64'],
    ['another character', `${trimmed}\n${second.replace('\nM', '\n#')}`, 'PEM block 2 is damaged: it is not Base64'],
    ['nothing in a block', `${trimmed}\n${begin}\n${end}`, 'PEM block 2 is damaged: it is not Base64'],
    ['no certificate', `${trimmed}\n${begin}\nAAAA\n${end}`, 'PEM block 2 holds no certificate that can be read'],
    [
      'a label of old',
      `${trimmed}\n${second.replaceAll('CERT', 'TRUSTED CERT')}`,
      'PEM block 2 is "TRUSTED CERTIFICATE"',
    ],
    ['a key alone', keyPem, 'the file holds no PEM certificate'],
    ['nothing', '', 'the file holds no PEM certificate'],
  ];
  for (const [name, pem, message] of cases) {
    t.throws(() => parseCertificates(pem), { message: new RegExp(`^${message}`) }, name);
  }
  const twice = `${begin}\n${Buffer.concat([Buffer.from(content.join(''), 'base64'), Buffer.from('00')]).toString('base64')}\n${end}`;
  t.throws(() => parseCertificates(twice), { message: 'PEM block 1 holds no certificate that can be read' });
  t.throws(() => parsePem(`${trimmed}\n${keyPem}`, 'CERTIFICATE'), {
    message: 'PEM block 2 is "PRIVATE KEY", and not "CERTIFICATE"',
  });
  t.end();
});

t.test('whatever is done to a certificate, OpenSSL reads it where this reader does', (t) => {
  const junk = fc.constantFrom(
    '',
    ' ',
    '\n',
    '\n\n',
    '\r\n',
    '\t',
    '-',
    '-----',
    'A',
    '=',
    ':',
    '#',
    begin,
    end,
    '\uFEFF',
  );
  let taken = 0;
  const check = () =>
    fc.assert(
      fc.property(fc.nat(trimmed.length), junk, fc.nat(3), (at, text, drop) => {
        const damaged = trimmed.slice(0, at) + text + trimmed.slice(at + drop);
        let read: X509Certificate[];
        try {
          read = parseCertificates(damaged);
        } catch {
          return true;
        }
        taken += 1;
        return read.length === 1 && new X509Certificate(damaged).raw.equals(read[0]!.raw);
      }),
      { numRuns: 2000 },
    );
  t.doesNotThrow(check);
  t.ok(taken > 0);
  t.end();
});
