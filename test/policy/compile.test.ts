// Globs, rule files that cannot be used, what a policy says of itself, and rules that can never govern.
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import { compileGlob, compileGlobs, globCovers } from '../../src/policy/glob.ts';
import { unreachableRules } from '../../src/policy/lint/unreachable-rules.ts';
import { scopesOf } from '../../src/policy/rule.ts';
import { parseClientEntry } from '../../src/policy/selectors/clients.ts';
import { mcpSelectorTypes, pathSelectorTypes } from '../../src/policy/selectors/selector-types.ts';
import { mcpPolicy, pathPolicy } from './scene.ts';

t.test('a star is any run of characters, everything else is itself', (t) => {
  const cases: [string, string[], string[]][] = [
    ['execute_sql', ['execute_sql'], ['execute_sql2', 'Execute_sql', 'xexecute_sql', '', 'execute*sql']],
    ['delete_*', ['delete_', 'delete_chart', 'delete_a/b.c\n'], ['delete', 'Delete_x', 'xdelete_y']],
    ['*_sql', ['_sql', 'execute_sql', '.a/b_sql'], ['sql', 'execute_sqlx']],
    ['*', ['', 'a', '.hidden', 'a/b', '\n'], []],
    ['**', ['', 'a'], []],
    ['a*b*c', ['abc', 'aXbYc', 'abbc', 'abcbc'], ['ab', 'ac', 'acb', 'abcx']],
    ['a*a', ['aa', 'aba'], ['a', '']],
    ['ab*bc', ['abbc', 'abxbc'], ['abc']],
    ['*ab*ab*', ['abab', 'xabyabz'], ['ab', 'aab']],
    ['a.c', ['a.c'], ['abc']],
    ['[a-z]?', ['[a-z]?'], ['ab']],
    ['!a', ['!a'], ['b']],
    ['{a,b}', ['{a,b}'], ['a']],
    ['^a$', ['^a$'], ['a']],
    ['superset://*/data', ['superset://chart/1/data', 'superset:///data'], ['superset://data']],
  ];
  for (const [glob, matching, others] of cases) {
    for (const text of matching) t.ok(compileGlob(glob)(text), `${glob} matches ${JSON.stringify(text)}`);
    for (const text of others) t.notOk(compileGlob(glob)(text), `${glob} does not match ${JSON.stringify(text)}`);
  }
  const any = compileGlobs(['a', 'b*']);
  t.same(['a', 'b', 'bc', 'ab'].map(any), [true, true, true, false]);
  t.end();
});

t.test('globs agree with the expression that they stand for', (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '/', '\n'), maxLength: 12 });
  const glob = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '*'), maxLength: 8 });
  const expressionOf = (of: string) =>
    new RegExp(
      `^${of
        .split('*')
        .map((part) => part.replaceAll('.', '\\.'))
        .join('[^]*')}$`,
    );
  fc.assert(
    fc.property(glob, text, (of, value) => compileGlob(of)(value) === expressionOf(of).test(value)),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(
      glob,
      glob,
      text,
      (wider, narrower, value) =>
        !globCovers(wider, narrower) || !compileGlob(narrower)(value) || compileGlob(wider)(value),
    ),
    { numRuns: 3000 },
  );
  t.ok(globCovers('*', 'a*') && globCovers('a*', 'ab*c') && globCovers('a*c', 'a*b*c'));
  t.notOk(globCovers('a*', '*') || globCovers('ab*', 'a*') || globCovers('a*b*c', 'a*c') || globCovers('a', 'a*'));
  t.end();
});

t.test('a rule that cannot be used is refused with its place', (t) => {
  const refused: [string, RegExp][] = [
    ['[{allow: {tools: [a]}}, {require: {scopes: [x]}}]', /^mcp\.rules\[1\]: needs either allow or deny$/],
    ['[{allow: {tools: [a]}, deny: {tools: [b]}}]', /^mcp\.rules\[0\]: needs either allow or deny$/],
    ['[{deny: {tools: [a]}, require: {scopes: [x]}}]', /^mcp\.rules\[0\]\.require: belongs to allow/],
    ['[{allow: {when: "args.x.matches(\'a\')"}}]', /^mcp\.rules\[0\]\.allow\.when: matches\(\) is not available/],
    ['[{allow: {tools: [a]}, require: {when: "nope"}}]', /^mcp\.rules\[0\]\.require\.when: Unknown variable: nope/],
    ['[{allow: {networks: [10.0.0.0/33]}}]', /^mcp\.rules\[0\]\.allow: .*10\.0\.0\.0\/33/],
    [
      '[{deny: {tools: ["delete_*"], methods: [resources/subscribe]}}]',
      /^mcp\.rules\[0\]\.deny: methods: "resources\/subscribe" is no method of/,
    ],
  ];
  for (const [yaml, message] of refused) t.throws(() => mcpPolicy(yaml), { message }, yaml);
  t.throws(() => pathPolicy('{scopes: [a], rules: []}'), { message: /^scopes: .* it cannot stand beside rules$/ });
  t.end();
});

t.test('a policy knows the scopes to ask for and the tools it names', (t) => {
  const policy = mcpPolicy(`
    - deny: {tools: ["delete_*", drop]}
    - allow: {tools: [a, "b*"]}
      require: {scopes: [x, y]}
    - allow: {prompts: [p]}
      require: {scopes: [y], anyScope: [z, w]}
  `);
  t.same(scopesOf(policy), ['x', 'y', 'z']);
  t.same([...policy.toolNames], ['drop', 'a']);
  t.same(scopesOf(pathPolicy('scopes: [a]')), ['a']);
  t.same(scopesOf(pathPolicy('{}')), []);
  t.end();
});

t.test('an entry is qualified by the longest authenticator that fits', (t) => {
  const names = ['corp', 'corp/eu'];
  t.same(parseClientEntry('corp/x', names), { authenticator: 'corp', clientId: 'x' });
  t.same(parseClientEntry('corp/eu/x', names), { authenticator: 'corp/eu', clientId: 'x' });
  t.same(parseClientEntry('corpx/x', names), { authenticator: undefined, clientId: 'corpx/x' });
  t.same(parseClientEntry('https://a.example/b', names), { authenticator: undefined, clientId: 'https://a.example/b' });
  t.end();
});

t.test('rules behind a wider one are found', (t) => {
  const cases: [string, string, { index: number; by: number }[]][] = [
    ['a wider glob', '[{allow: {tools: ["get_*"]}}, {deny: {tools: [get_secret]}}]', [{ index: 1, by: 0 }]],
    ['a narrower glob', '[{deny: {tools: [get_secret]}}, {allow: {tools: ["get_*"]}}]', []],
    [
      'a catch-all',
      '[{deny: {}}, {allow: {tools: [a]}}, {allow: {methods: [x]}}]',
      [
        { index: 1, by: 0 },
        { index: 2, by: 0 },
      ],
    ],
    ['the same again', '[{allow: {prompts: [a]}}, {allow: {prompts: [a]}}]', [{ index: 1, by: 0 }]],
    ['a condition may be false', '[{allow: {tools: [a], when: "has(args.x)"}}, {allow: {tools: [a]}}]', []],
    [
      'the same condition',
      '[{allow: {tools: [a], when: "has(args.x)"}}, {deny: {tools: [a], when: "has(args.x)"}}]',
      [{ index: 1, by: 0 }],
    ],
    ['only one of two tools', '[{allow: {tools: [a]}}, {allow: {tools: [a, b]}}]', []],
    ['a name that no glob of an allow matches', '[{allow: {tools: ["*"]}}, {allow: {tools: ["my tool"]}}]', []],
    ['another kind', '[{allow: {tools: ["*"]}}, {allow: {prompts: [a]}}]', []],
    ['one of two kinds', '[{allow: {tools: ["*"]}}, {allow: {tools: [a], prompts: [a]}}]', []],
    ['every method', '[{allow: {methods: ["*"]}}, {allow: {tools: [a]}}]', [{ index: 1, by: 0 }]],
    ['the method of the kind', '[{allow: {methods: ["tools/*"]}}, {deny: {tools: [a]}}]', [{ index: 1, by: 0 }]],
    ['every method but for subscriptions', '[{allow: {methods: ["*"]}}, {allow: {resources: [a]}}]', []],
    [
      'every method, and reading alone',
      '[{allow: {methods: ["*"]}}, {allow: {resources: [a], methods: [resources/read]}}]',
      [{ index: 1, by: 0 }],
    ],
    ['only one method of the kind', '[{allow: {methods: [resources/read]}}, {deny: {resources: [a]}}]', []],
    ['certain clients', '[{allow: {tools: [a], clients: [x]}}, {allow: {tools: [a]}}]', []],
    [
      'the same client, qualified',
      '[{allow: {clients: [x, y]}}, {allow: {tools: [a], clients: [corp/x]}}]',
      [{ index: 1, by: 0 }],
    ],
    [
      'fewer values of a claim',
      '[{allow: {claims: {tenant: [a, b]}}}, {allow: {claims: {tenant: [a], group: [g]}}}]',
      [{ index: 1, by: 0 }],
    ],
    ['more values of a claim', '[{allow: {claims: {tenant: [a]}}}, {allow: {claims: {tenant: [a, b]}}}]', []],
    ['a network', '[{allow: {networks: [10.0.0.0/8]}}, {allow: {tools: [a]}}]', []],
    [
      'the same network',
      '[{allow: {networks: [10.0.0.0/8]}}, {allow: {tools: [a], networks: [10.0.0.0/8]}}]',
      [{ index: 1, by: 0 }],
    ],
    ['a path below', '[{allow: {paths: [/api/*]}}, {deny: {paths: [/api/x/*, /api]}}]', [{ index: 1, by: 0 }]],
    ['a path beside', '[{allow: {paths: [/api/x]}}, {deny: {paths: [/api/x/*]}}]', []],
  ];
  for (const [name, yaml, expected] of cases) {
    const found = yaml.includes('paths')
      ? unreachableRules(parse(yaml), pathSelectorTypes)
      : unreachableRules(parse(yaml), mcpSelectorTypes);
    t.same(found, expected, name);
  }
  t.end();
});
