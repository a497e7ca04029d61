// Conditions: what they may say, what they yield, and what they cannot cost.
import assert from 'node:assert/strict';
import t from 'tap';
import { viewArguments, viewClaims } from '../../src/policy/condition/argument-view.ts';
import {
  type Condition,
  createConditionCompiler,
  evaluateCondition,
  maxIteratedValues,
} from '../../src/policy/condition/condition.ts';
import { conditionWarnings, unguardedFields } from '../../src/policy/condition/condition-lint.ts';
import {
  type ConditionVariables,
  createEvaluation,
  type EvaluationState,
} from '../../src/policy/condition/evaluation.ts';

const compileCondition = createConditionCompiler();

function variables(json: string, evaluation: EvaluationState): ConditionVariables {
  return {
    principal: {
      kind: 'oauth',
      issuer: 'i',
      subject: 'alice',
      clientId: undefined,
      scopes: ['a', 'b'],
      claims: viewClaims({ prefixes: ['dev_', 'test_'], tenant: 'acme', profile: { constructor: 1, team: 'a' } }),
    },
    args: viewArguments(Buffer.from(json), evaluation),
    tool: 'execute_sql',
    route: 'superset-mcp',
    request: { method: 'POST', path: '/mcp', address: '192.0.2.1' },
  };
}

/** Of arguments as a text, or as a value without a text of its own. */
function evaluate(source: string, args: unknown = {}): boolean | 'error' {
  const condition = compileCondition(source);
  const evaluation = createEvaluation();
  const json = typeof args === 'string' ? args : JSON.stringify(args);
  try {
    return evaluateCondition(condition, variables(json, evaluation), evaluation);
  } catch {
    return 'error';
  }
}

t.test('what is true, false and an error', (t) => {
  const cases: [string, unknown, boolean | 'error'][] = [
    ['args.limit <= 1000', { limit: 1000 }, true],
    ['args.limit <= 1000', { limit: 1000.5 }, false],
    ['args.limit <= 1000', { limit: '5' }, 'error'],
    ['args.limit <= 1000', {}, 'error'],
    ['args.limit == 5', { limit: 5 }, true],
    ['args.id in [1, 2]', { id: 2 }, true],
    ["args.format in ['json', 'csv']", { format: 'xml' }, false],
    ['has(args.request) && has(args.request.limit) && args.request.limit < 10', {}, false],
    ['has(args.request.limit)', {}, 'error'],
    ['args.x == 1 || !has(args.x)', {}, true],
    ['args.flag', { flag: true }, true],
    ['args.flag', { flag: 'true' }, 'error'],
    ['args.flag', { flag: null }, 'error'],
    ['args.x == null', { x: null }, true],
    ["args['a b'] == 1", { 'a b': 1 }, true],
    ["args.sql.startsWith('SELECT ') && !args.sql.contains(';')", { sql: 'SELECT 1' }, true],
    ["args.sql.startsWith('SELECT ') && !args.sql.contains(';')", { sql: 'SELECT 1; DROP' }, false],
    ['size(args.ids) <= 2', { ids: [1, 2, 3] }, false],
    ['args.ids.all(id, id > 0)', { ids: [1, 2] }, true],
    ['args.ids.all(id, id > 0)', { ids: 'no list' }, 'error'],
    ['args.filters.exists(f, f.col == "salary")', { filters: [{ col: 'name' }, { col: 'salary' }] }, true],
    ['principal.claims.prefixes.exists(p, args.schema.startsWith(p))', { schema: 'dev_alice' }, true],
    ['principal.claims.prefixes.exists(p, args.schema.startsWith(p))', { schema: 'prod' }, false],
    ["'a' in principal.scopes && principal.kind == 'oauth' && principal.claims.tenant == 'acme'", {}, true],
    ['has(principal.clientId)', {}, false],
    ["principal.clientId == 'x'", {}, 'error'],
    [
      "tool == 'execute_sql' && route == 'superset-mcp' && request.method == 'POST' && request.path == '/mcp' && request.address == '192.0.2.1'",
      {},
      true,
    ],
    ['int(args.n) + 1 == 3', { n: 2 }, true],
    ['args.n + 1 == 3', { n: 2 }, 'error'],
    ["timestamp(args.from) >= timestamp('2026-01-01T00:00:00Z')", { from: '2026-06-01T00:00:00Z' }, true],
  ];
  for (const [source, args, expected] of cases)
    t.equal(evaluate(source, args), expected, `${source} of ${JSON.stringify(args)}`);
  t.end();
});

t.test('a text that several rules have is compiled once', (t) => {
  const compiled = compileCondition('args.limit <= 1000');
  t.equal(compileCondition('args.limit <= 1000'), compiled);
  t.not(compileCondition('args.limit <= 1001'), compiled);
  t.end();
});

t.test('conditions that share the fields of a call yield and cost what each does alone', (t) => {
  const sources = [
    ...['args.limit == 7', 'args.limit == 8', 'has(args.limit) && args.limit == 7', 'has(args.limit) || args.x'],
    ...[
      'args.limit > 1 || args.sql == "x"',
      'has(args.r.limit)',
      'has(args.r) && has(args.r.limit)',
      'args.r.limit == 7',
    ],
    ...[
      'args.r == args.r',
      'size(args.r) == 1',
      'size(args) == 2',
      'size(args) == 1',
      "size(args) == 1 || tool == 'LIMIT'",
      "'limit' in args",
      "'LIMIT' in args",
      'has(args.LIMIT)',
    ],
    ...['args.list.all(each, each == 1)', '[1, 2].all(each, each < args.limit)', 'args.list == [1.0]'],
    ...[
      "args['limit'] == 7",
      "args['r.limit'] == 7",
      'has(principal.claims.tenant)',
      "principal.claims.tenant == 'acme'",
    ],
    ...[
      'principal.claims.profile.constructor == 1',
      "principal['claims'].tenant == 'acme'",
      "args.sql.startsWith('SELECT')",
    ],
    ...['args.sql.size() > 40', 'args.sql == args.sql', "request.method == 'POST' && route == tool"],
    ...['args.list.exists(r, r.limit == 7)', 'args.list.exists(r, has(r.limit))', 'args.list.map(r, r.limit) == [7.0]'],
  ];
  const texts = [
    '{}',
    '{"limit":7}',
    '{"limit":7,"r":{"limit":7}}',
    '{"limit":7,"LIMIT":8}',
    '{"limit":"7","list":[{"limit":7}]}',
  ];
  const long = `{"sql":"SELECT ${'x'.repeat(200)}","r.limit":7,"r":{"limit":7,"rest":"${'x'.repeat(200)}"}}`;
  const judge = (condition: Condition, given: ConditionVariables, state: EvaluationState) => {
    const before = state.steps;
    let value: boolean | 'error';
    try {
      value = evaluateCondition(condition, given, state);
    } catch {
      value = 'error';
    }
    return { value, steps: state.steps - before, problem: state.error?.problem };
  };
  const alone = (source: string, json: string) => {
    const state = createEvaluation();
    return judge(createConditionCompiler()(source), variables(json, state), state);
  };
  const cases = [...texts, '{"list":[1],"r":{"limit":1e999}}', long].map((json) => ({
    json,
    expected: new Map(sources.map((source) => [source, alone(source, json)])),
  }));
  for (const first of sources) {
    const compileTogether = createConditionCompiler();
    const conditions = [first, ...sources].map((source) => [source, compileTogether(source)] as const);
    for (const { json, expected } of cases) {
      const state = createEvaluation();
      const shared = variables(json, state);
      for (const [source, condition] of conditions) {
        if (state.error !== undefined) break;
        assert.deepEqual(judge(condition, shared, state), expected.get(source), `${source} of ${json}`);
      }
    }
  }
  t.end();
});

t.test('a field is read anew from other variables', (t) => {
  const compileTogether = createConditionCompiler();
  const conditions = ['args.limit == 7', 'args.limit == 8'].map(compileTogether);
  const state = createEvaluation();
  for (const [json, expected] of [
    ['{"limit":7}', [true, false]],
    ['{"limit":8}', [false, true]],
  ] as const) {
    const given = variables(json, state);
    t.same(
      conditions.map((condition) => evaluateCondition(condition, given, state)),
      expected,
      json,
    );
  }
  t.end();
});

t.test('arguments named like what every object has are ordinary names', (t) => {
  const hostile = [
    '{"__proto__":{"x":1}}',
    '{"__proto__":null}',
    '{"toString":1}',
    '{"hasOwnProperty":1}',
    '{"valueOf":{"x":1}}',
  ];
  for (const json of hostile) {
    t.equal(evaluate('has(args.x)', json), false, json);
    t.equal(evaluate('args.x == 1', json), 'error', json);
    t.equal(evaluate('has(args.constructor) || has(args.length)', json), false, json);
  }
  const constructors = ['1', 'null', '[]', '{"name":"Map"}', '"Object"'];
  for (const json of constructors.map((value) => `{"constructor":${value},"x":1}`)) {
    t.equal(evaluate('has(args.x) && args.x == 1', json), true, json);
    t.equal(evaluate('args.x == 2', json), false, json);
    t.equal(evaluate('has(args.r) && args.r.x == 1', `{"r":${json}}`), true, `${json} deeper`);
    t.equal(evaluate('args.r.all(e, e.x == 1)', `{"r":[${json}]}`), true, `${json} in a list`);
    t.equal(evaluate("has(args.constructor) && 'constructor' in args && size(args) == 2", json), true, json);
    t.equal(evaluate("args.all(name, name in ['constructor', 'x']) && args == args", json), true, json);
    t.equal(evaluate("args == {'x': 1.0}", json), false, json);
    t.equal(evaluate('args.r == args.s', `{"r":${json},"s":${json}}`), true, `${json} twice`);
  }
  t.equal(evaluate('args.constructor == 1', '{"constructor":1}'), true);
  t.equal(evaluate('args.constructor.constructor == 1', '{"constructor":{"constructor":1}}'), true);
  for (const name of ['get', 'has', 'keys', 'entries', 'size', 'values', 'forEach', 'type', 'prototype', 'then']) {
    t.equal(evaluate(`has(args.${name}) || '${name}' in args`), false, name);
    t.equal(evaluate(`args.${name} == 7 && args.x == 1`, `{"${name}":7,"x":1}`), true, name);
  }
  t.equal(evaluate("principal.claims.profile.team == 'a'"), true, 'claims likewise');
  t.end();
});

t.test('what cannot be used is refused when it is compiled, with a reason', (t) => {
  const refused: [string, RegExp][] = [
    ['args.x ==', /Unexpected token.*character 10/],
    ['', /Unexpected/],
    ['user.name == 1', /Unknown variable: user/],
    ['1 + 1', /yields int, not true or false/],
    ["'yes'", /yields string/],
    ['tool == 1', /no such overload/],
    ["args.s.matches('^(a+)+$')", /matches\(\) is not available/],
    ["duration(args.s) == duration('1s')", /duration\(\) is not available/],
    ['cel.bind(a, args, a.x == 1)', /bind\(\) is not available/],
    ['bytes(args.s).json() == args', /json\(\) is not available/],
    ['args.toString() == 1', /toString\(\) is not available/],
    ['args.a.exists(x, x.b.exists(y, y == 1))', /must not stand inside another/],
    ['args.a.all(x, x in args.a)', /must not read args in its body/],
    ["args.s.split(',').exists(x, x == 'a')", /must not run over the parts of split/],
    ['args.a.exists(args, args == 1)', /must not reuse the name args/],
    ['args.a.exists(principal, true)', /must not reuse the name principal/],
    ["args == {'x': 1, 'constructor': 1}", /a map must not have the name constructor/],
    ["'__proto__' in {'__proto__': 1}", /a map must not have the name __proto__/],
    ['args.a.exists(1, true)', /name of a variable|iteration variable/],
    ['args.s.contains(args.t)', /contains\(\) must not search for a value that comes from args/],
    ['args.a.exists(x, x.contains(x))', /must not search for a value that comes from args/],
    ['args.a.join(args.s) == tool', /join\(\) must not search/],
    [`${'('.repeat(100)}true${')'.repeat(100)}`, /maxDepth/],
  ];
  for (const [source, message] of refused) t.throws(() => compileCondition(source), { message }, source);
  t.doesNotThrow(() => compileCondition('args.x'), 'a field may turn out to be a boolean');
  t.end();
});

t.test(
  '`and` in CEL, and operators of other languages: the message says how CEL writes it, and where it stands',
  (t) => {
    const written: [string, string, string, number][] = [
      ['has(args.a) and args.a == 1', 'and', '&&', 13],
      ['args.a == 1 OR args.b == 2', 'OR', '||', 13],
      ['not has(args.a)', 'not', '!', 1],
      ['has(args.a) && not (args.a == 1)', 'not', '!', 16],
      ['not(has(args.a))', 'not', '!', 1],
      ['args.a = 1', '=', '==', 8],
      ['args.a === 1', '===', '==', 8],
      ['args.a <> 1', '<>', '!=', 8],
      ['args.a =< 1', '=<', '<=', 8],
      ['has(args.a) & has(args.b)', '&', '&&', 13],
      ['has(args.a) | has(args.b)', '|', '||', 13],
      ['args.a is True', 'is', '==', 8],
      ['args.a == True', 'True', 'true', 11],
      ['args.a == None', 'None', 'null', 11],
    ];
    for (const [source, token, meant, character] of written) {
      const message = `"${token}" is written ${meant} in a condition, at character ${character}`;
      t.throws(() => compileCondition(source), { message }, source);
    }
    t.equal(
      evaluate("args.and == 'or' && args.not == '='", { and: 'or', not: '=' }),
      true,
      'names and text may be these',
    );
    t.end();
  },
);

t.test('iterating is bounded by the number of values in the arguments', (t) => {
  const list = (length: number) => ({ ids: Array.from({ length }, (_, index) => index) });
  t.equal(evaluate('args.ids.all(id, id >= 0)', list(maxIteratedValues - 2)), true);
  t.equal(evaluate('args.ids.all(id, id >= 0)', list(maxIteratedValues)), 'error');
  t.equal(
    evaluate('args.small.all(id, id >= 0)', { small: [1], ...list(maxIteratedValues) }),
    'error',
    'wherever they are',
  );
  t.equal(evaluate('size(args.ids) > 1', list(500_000)), true, 'what does not iterate is not bounded by it');
  t.end();
});

t.test('fields that may be absent are found', (t) => {
  const cases: [string, string[]][] = [
    ['has(args.request) && has(args.request.limit) && args.request.limit <= 1000', []],
    ['args.request.limit <= 1000', ['args.request.limit', 'args.request']],
    ['has(args.request.limit) && args.request.limit <= 1000', ['args.request']],
    ['args.x == 1 && has(args.x)', []],
    ['!has(args.x) || args.x == 1', []],
    ['has(args.x) || args.x == 1', ['args.x']],
    ['has(args.x) ? args.x == 1 : args.y == 1', ['args.y']],
    ['!(has(args.x) && has(args.y)) || args.x == args.y', []],
    ['(has(args.x) || has(args.y)) && args.x == 1', ['args.x']],
    ["'x' in args && args['x'] == 1", []],
    ["args['x'] == 1", ['args.x']],
    ['principal.claims.tenant == "acme"', ['principal.claims.tenant']],
    ['principal.clientId == "a"', ['principal.clientId']],
    ['principal.subject == "a" && request.path == "/" && "a" in principal.scopes', []],
    ['has(args.ids) && args.ids.all(x, x.id == 1)', ['x.id']],
    ['has(args.ids) && args.ids.all(x, has(x.id) && x.id == 1)', []],
    ['size(args.ids) > args.limit', ['args.ids', 'args.limit']],
  ];
  for (const [source, fields] of cases) t.same(unguardedFields(compileCondition(source)), fields, source);
  t.end();
});

t.test('arithmetic that JSON numbers do not have is warned of', (t) => {
  const warningsOf = (source: string) => conditionWarnings(compileCondition(source));
  t.match(warningsOf('has(args.n) && args.n + 1 > 2'), [/"\+" between args.n and 1 always errs.*int\(args.n\)/]);
  t.match(warningsOf('10 % args.n == 0'), [/"%" between args.n and 10/]);
  for (const source of ['args.n > 1', 'int(args.n) + 1 > 2', 'size(args.l) + 1 > 2', 'args.n + 1.0 > 2.0'])
    t.same(warningsOf(source), [], source);
  t.end();
});
