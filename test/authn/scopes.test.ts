// Scopes that imply other scopes.
import t from 'tap';
import { compileImplications } from '../../src/authn/caller/scopes.ts';

t.test('a grant gets what it implies, through others too and behind what it names, each once', (t) => {
  const widen = compileImplications({ admin: ['write', 'run'], write: ['read'], run: ['read'] });
  const cases: [string[], string[]][] = [
    [['admin'], ['admin', 'write', 'read', 'run']],
    [
      ['run', 'write'],
      ['run', 'write', 'read'],
    ],
    [
      ['read', 'write'],
      ['read', 'write'],
    ],
    [['other'], ['other']],
    [[], []],
    [
      ['constructor', '__proto__'],
      ['constructor', '__proto__'],
    ],
  ];
  for (const [granted, expected] of cases) t.same(widen(granted), expected, granted.join(' '));
  t.end();
});

t.test('a grant that implies nothing is given back as it is, and one that does is widened once', (t) => {
  const granted = ['read'];
  t.equal(compileImplications({})(granted), granted);
  const widen = compileImplications({ write: ['read'] });
  t.equal(widen(granted), granted);
  const writer = ['write'];
  t.equal(widen(writer), widen(writer));
  t.same(writer, ['write']);
  t.end();
});

t.test('implications that go in a circle, which check refuses, come to an end', (t) => {
  const widen = compileImplications({ a: ['b'], b: ['a'] });
  t.same(widen(['a']), ['a', 'b']);
  t.end();
});
