// Claim paths: literal names, JSON pointers and dotted paths.
import t from 'tap';
import { claimPathProblem, compileClaimPath } from '../../src/authn/token/claim-path.ts';

const claims = JSON.parse(`{
  "scope": "read", "realm_access": {"roles": ["a", "b"], "tenant": "acme", "none": null},
  "https://example.com/roles": ["admin"], "cognito:groups": ["g"], "a.b": "literal", "a": {"b": "nested", "c": {"d": 1}},
  "/a/b": "literal too", "resource_access": {"my.client": {"roles": ["r"]}, "x/y~z": 1},
  "__proto__": {"polluted": true}, "text": "abc"
}`) as Record<string, unknown>;

t.test('nested claims are found where no claim has that literal name', (t) => {
  const cases: [path: string, expected: unknown][] = [
    ['scope', 'read'],
    ['/scope', 'read'],
    ['realm_access.roles', ['a', 'b']],
    ['/realm_access/roles', ['a', 'b']],
    ['/realm_access/tenant', 'acme'],
    ['realm_access.none', null],
    ['/realm_access/roles/1', 'b'],
    ['a.c.d', 1],
    ['a.b', 'literal'],
    ['/a/b', 'literal too'],
    ['https://example.com/roles', ['admin']],
    ['/https:~1~1example.com~1roles', ['admin']],
    ['cognito:groups', ['g']],
    ['/resource_access/my.client/roles', ['r']],
    ['/resource_access/x~1y~0z', 1],
    ['resource_access.my.client.roles', undefined],
    ['realm_access.nobody', undefined],
    ['realm_access.roles.length', undefined],
    ['realm_access.none.more', undefined],
    ['text.length', undefined],
    ['text.0', undefined],
    ['constructor', undefined],
    ['realm_access.constructor.name', undefined],
    ['/toString', undefined],
    ['__proto__.polluted', true],
    ['', undefined],
  ];
  for (const [path, expected] of cases) t.same(compileClaimPath(path)(claims), expected, path);
  t.end();
});

t.test('paths that nobody means have a reason', (t) => {
  for (const path of [
    'scope',
    'realm_access.roles',
    '/realm_access/roles',
    '/a~1b~0c',
    'https://example.com/x..y',
    'cognito:groups',
  ])
    t.equal(claimPathProblem(path), undefined, path);
  for (const path of ['/a~2b', '/a~', 'a..b', '.a', 'a.', '/a//b', '/a/', '/'])
    t.type(claimPathProblem(path), 'string', path);
  t.match(claimPathProblem('realm_access/roles'), '"/realm_access/roles"');
  t.end();
});
