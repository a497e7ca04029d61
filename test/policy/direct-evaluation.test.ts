// Direct evaluation holds to the library: properties over generated conditions, arguments and claims.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { viewArguments, viewClaims } from '../../src/policy/condition/argument-view.ts';
import {
  type CompileCondition,
  type Condition,
  createConditionCompiler,
  evaluateCondition,
  maxIteratedValues,
} from '../../src/policy/condition/condition.ts';
import { evaluateDirectly } from '../../src/policy/condition/direct-evaluation.ts';
import {
  type ConditionVariables,
  createEvaluation,
  type EvaluationState,
} from '../../src/policy/condition/evaluation.ts';
import { decide } from '../../src/policy/decide.ts';
import type { Rule } from '../../src/policy/rule.ts';
import { agent, attributesOf, call, compile as compilePolicy } from './scene.ts';

function variables(json: string, claims: Record<string, unknown>, state: EvaluationState): ConditionVariables {
  return {
    principal: { kind: 'oauth', clientId: undefined, scopes: ['a', 'é'], claims: viewClaims(claims) },
    args: viewArguments(Buffer.from(json), state),
    tool: 'a',
    route: 'a',
    request: { method: 'POST', path: '/', address: '192.0.2.1' },
  };
}

const long = 'x'.repeat(100);
const texts = ['', 'X', 'a', 'A', '1', 'é', 'e\u0301', '\u{1f600}', 'constructor', '2026-01-01T00:00:00Z', long];
const numbers = [
  '0',
  '1',
  '-1',
  '7',
  '100',
  '1.0',
  '0.5',
  '-0.5',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775807',
];
const text = fc.constantFrom(...texts.map((each) => JSON.stringify(each)));
const literal = fc.oneof(text, fc.constantFrom(...numbers), fc.constantFrom('true', 'false', 'null'));
const path = fc.constantFrom(
  ...['args.x', 'args.x', 'args.y', 'args.r.x', 'args.r', "args['a b']", 'args.list', 'args.constructor', 'args'],
  ...[
    'principal.claims.tenant',
    'principal.claims.groups',
    'principal.clientId',
    'principal.scopes',
    'tool',
    'request.path',
  ],
);
const value = fc.oneof(
  { weight: 6, arbitrary: path },
  fc.tuple(fc.constantFrom('size', 'int', 'string', 'double', 'timestamp'), path).map(([name, of]) => `${name}(${of})`),
  fc.tuple(path, fc.constantFrom('lowerAscii', 'trim', 'size')).map(([of, name]) => `${of}.${name}()`),
);
const either = fc.oneof({ weight: 3, arbitrary: value }, { weight: 2, arbitrary: literal });
const list = fc.array(literal, { maxLength: 3 }).map((each) => `[${each.join(', ')}]`);
const comparison = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(path, fc.constantFrom('==', '!=', '<', '<='), literal).map((parts) => parts.join(' ')),
  },
  fc.tuple(value, fc.constantFrom('==', '!=', '<', '<=', '>', '>='), either).map((parts) => parts.join(' ')),
  fc.tuple(literal, fc.constantFrom('==', '!=', '<'), value).map((parts) => parts.join(' ')),
  fc.tuple(fc.constantFrom('==', '<='), fc.nat(2)).map(([op, size]) => `size(args.x) ${op} ${size}`),
  fc.nat(3).map((size) => `size(args) == ${size}`),
  fc.tuple(either, fc.oneof(list, path)).map(([one, other]) => `${one} in ${other}`),
  fc
    .tuple(path, fc.constantFrom('startsWith', 'endsWith', 'contains'), text)
    .map(([of, name, part]) => `${of}.${name}(${part})`),
  { weight: 2, arbitrary: path.map((of) => `has(${of})`) },
  fc.tuple(path, literal).map(([of, one]) => `${of}.exists(each, each == ${one})`),
);
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 3, arbitrary: comparison },
    fc.tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition')).map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie('condition').map((inner) => `!(${inner})`),
    fc.tuple(tie('condition'), tie('condition'), tie('condition')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
  ),
}));

const json = fc.oneof(
  { weight: 2, arbitrary: text },
  fc.constantFrom(...numbers, '1e400', '1e-400', '-0', '1000.0000000000000001', '1e2', '1E0'),
  fc.constantFrom('true', 'false', 'null', '[]', '{}', '["a", "é"]', '[1, 7]', '[1, "a"]', '[[1]]', '{"x": 1}'),
  fc.constantFrom('{"x": 1, "X": 2}', '{"x": "a", "constructor": 1}', '{"__proto__": {"x": 1}}', '[9007199254740993]'),
);
const names = fc.constantFrom('x', 'X', 'y', 'r', 'a b', 'list', 'constructor', '__proto__', 'ｘ');
const members = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(json, json, json).map(
      ([x, y, inner]) =>
        [
          ['x', x],
          ['y', y],
          ['r', `{"x": ${inner}}`],
        ] as const,
    ),
  },
  fc.constant([]),
);
const args = fc
  .tuple(members, fc.uniqueArray(fc.tuple(names, json), { maxLength: 2, selector: ([name]) => name }))
  .map(([usual, more]) => [...new Map<string, string>([...usual, ...more])])
  .map((all) => `{${all.map(([name, of]) => `${JSON.stringify(name)}: ${of}`).join(', ')}}`);
const claims = fc.record(
  { tenant: fc.constantFrom('a', 'A', 1, true, null), groups: fc.constantFrom([], ['a'], [1, 'a'], 'a') },
  { requiredKeys: [] },
);

type Run = (given: ConditionVariables, state: EvaluationState) => unknown;

function judge(run: Run, given: ConditionVariables, state: EvaluationState) {
  const before = state.steps;
  let value: unknown;
  try {
    value = run(given, state);
  } catch {
    value = 'error';
  }
  const isAnswer = typeof value === 'boolean' && state.error === undefined;
  return { value: isAnswer ? value : 'error', steps: state.steps - before, problem: state.error?.problem };
}

/** None for a text that is no condition. */
function compileEach(sources: readonly string[], compile: CompileCondition): Condition[] {
  return sources.flatMap((source) => {
    try {
      return compile(source);
    } catch {
      return [];
    }
  });
}

t.test('conditions of one policy yield and cost what the library does with each alone', (t) => {
  const compile = createConditionCompiler();
  const seen = { true: 0, false: 0, error: 0, direct: 0, ambiguous_name: 0, inexact_number: 0 };
  const check = fc.property(
    fc.array(condition, { minLength: 1, maxLength: 8 }),
    args,
    claims,
    (sources, text, held) => {
      const conditions = compileEach(sources, compile);
      const state = createEvaluation();
      const shared = variables(text, held, state);
      // The second time, in the other order, all that has a value is known.
      for (const each of [...conditions, ...conditions.toReversed()]) {
        if (state.error !== undefined) return;
        const own = createEvaluation();
        const expected = judge(each.run, variables(text, held, own), own);
        if (evaluateDirectly(each, { ...state }) !== undefined) seen.direct += 1;
        const found = judge((given, its) => evaluateCondition(each, given, its), shared, state);
        assert.deepEqual(found, expected, `${each.ast.input} of ${text}`);
        seen[String(expected.value) as 'true' | 'false' | 'error'] += 1;
        if (expected.problem === 'ambiguous_name' || expected.problem === 'inexact_number') seen[expected.problem] += 1;
      }
    },
  );
  fc.assert(check, { numRuns: 300 });
  for (const [kind, count] of Object.entries(seen)) t.ok(count > 5, `${kind}: ${count}`);
  t.end();
});

t.test('more values than a loop may run over are an error also where what is known decides', (t) => {
  const request = call('run', { x: 1, list: Array(maxIteratedValues).fill(0) });
  const first = { deny: { tools: ['run'], when: 'args.x == 2' } };
  const loops = [
    { allow: { tools: ['run'], when: "args.x == 1 || args.list.exists(each, each == 'a')" } },
    { allow: { tools: ['run'], when: "tool == 'run' || args.list.exists(each, each == 'a')" } },
    { deny: { tools: ['run'], when: 'args.x == 2 && args.list.all(each, each == 0)' } },
  ];
  for (const loop of loops) {
    const rules = [first, { deny: { tools: ['run'], when: "tool == 'other'" } }, loop, { allow: { tools: ['run'] } }];
    const decision = decide(attributesOf(agent, request), compilePolicy({ mcp: { rules } }));
    t.match(decision, { allow: false, reason: 'condition_error', rule: 'rules[2]', problem: 'too_many_values' });
  }
  t.end();
});

t.test('a list that holds NaN does not equal the same one made again', (t) => {
  const compile = createConditionCompiler();
  for (const made of ['dyn([double(args.x / args.x)])', '[[args.x / args.x]][0]', "{'a': [args.x / args.x]}.a"]) {
    const conditions = [`${made} == ${made}`, `${made} in [${made}]`].map(compile);
    const state = createEvaluation();
    const given = variables('{"x": 0}', {}, state);
    for (const each of [...conditions, ...conditions]) t.notOk(evaluateCondition(each, given, state), each.ast.input);
  }
  t.end();
});

t.test('of 200 conditions on the arguments of one tool the library evaluates those that read a new one', (t) => {
  const cases: [string, (index: number) => string, number][] = [
    ['equality', (index) => `args.request.limit == ${index}`, 1],
    ['text', (index) => `args.request.sql == 'SELECT ${index}'`, 1],
    ['beginnings', (index) => `args.request.sql.startsWith('SELECT ${index};')`, 1],
    ['guards', (index) => `has(args.request) && has(args.request.limit) && args.request.limit == ${index}`, 1],
    ['absent', (index) => `has(args.none) && args.none == ${index}`, 1],
    ['ranges', (index) => `args.request.limit > ${index} && args.request.limit <= ${index + 1}`, 1],
    ['lists', (index) => `args.request.limit in [${index}, -${index}]`, 1],
    ['functions', (index) => `size(args.request.sql) == ${index} && args.request.sql.lowerAscii() == 'x'`, 2],
    ['claims', (index) => `principal.clientId == 'client-${index}'`, 1],
    ['two', (index) => (index % 2 ? `args.request.limit == ${index}` : `!(tool != 'tool-${index}')`), 2],
  ];
  for (const [sentence, when, expected] of cases) {
    let evaluated = 0;
    const rules = Array.from({ length: 200 }, (_, index) => ({ allow: { tools: ['run'], when: when(index) } }));
    const policy = compilePolicy({ mcp: { rules } });
    const counting = policy.rules.map((rule): Rule => {
      const { run } = rule.when!;
      const count: Run = (...given) => {
        evaluated += 1;
        return run(...given);
      };
      return { ...rule, when: { ...rule.when!, run: count } };
    });
    const request = call('run', { request: { limit: 200, sql: `SELECT ${'x'.repeat(50)}` } });
    const decision = decide(attributesOf(agent, request), { ...policy, rules: counting });
    t.match(
      decision,
      sentence === 'ranges' ? { allow: true, rule: 'rules[199]' } : { reason: 'denied', rule: undefined },
    );
    t.equal(evaluated, expected, sentence);
  }
  t.end();
});
