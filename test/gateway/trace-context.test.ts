// W3C Trace Context of callers: hostile and malformed values.
import { registerHooks } from 'node:module';
import t from 'tap';
import { formatTraceparent, parseTraceContext } from '../../src/telemetry/trace-context.ts';
import { openTestTracing } from '../support/otlp-collector.ts';

const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
const valid = `00-${traceId}-${spanId}-01`;

t.test('contexts', async (t) => {
  const of = { traceId, spanId, sampled: true, state: undefined };
  t.same(parseTraceContext(valid, undefined), of);
  t.same(parseTraceContext(`00-${traceId}-${spanId}-00`, undefined), { ...of, sampled: false });
  t.same(parseTraceContext(`00-${traceId}-${spanId}-fe`, undefined), { ...of, sampled: false }, 'unknown flags');
  t.same(parseTraceContext(`cc-${traceId}-${spanId}-01-what-comes-later`, undefined), of, 'a later version');
  t.equal(formatTraceparent(traceId, spanId, true), valid);
});

t.test('no contexts', async (t) => {
  const hostile = [
    ...[
      '',
      ' ',
      valid.toUpperCase(),
      ` ${valid}`,
      `${valid} `,
      `${valid}\n`,
      `${valid}-00`,
      `${valid}, ${valid}`,
      `ff${valid.slice(2)}`,
    ],
    ...[
      `cc${valid.slice(2)}x`,
      valid.slice(0, -1),
      `00-${'0'.repeat(32)}-${spanId}-01`,
      `00-${traceId}-${'0'.repeat(16)}-01`,
    ],
    ...[
      `00-${traceId.slice(1)}-${spanId}-01`,
      `00-${traceId}-${spanId}-0g`,
      `cc${valid.slice(2)}-${'a'.repeat(100_000)}`,
    ],
  ];
  for (const value of hostile)
    t.equal(parseTraceContext(value, undefined), undefined, JSON.stringify(value.slice(0, 80)));
});

t.test('a tracestate is passed on where it is valid, and dropped alone where it is not', async (t) => {
  const state = (text: string) => parseTraceContext(valid, text)!.state;
  t.equal(state('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'), 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
  t.equal(state(' a=1 ,\t,tenant@vendor=x y'), 'a=1,tenant@vendor=x y');
  const members = (count: number) => Array.from({ length: count }, (_, index) => `k${index}=v`).join();
  t.equal(state(members(32)), members(32));
  const hostile = [
    members(33),
    'a=1,a=2',
    'A=1',
    '=1',
    'a',
    'a=',
    'a=b=c',
    'a=\u0001',
    'a=é',
    `a=${'b'.repeat(511)}`,
    ','.repeat(600),
  ];
  for (const value of hostile) t.equal(state(value), undefined, value.slice(0, 40));
});

t.test('without its packages tracing ends the start with the command that installs them', async (t) => {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== '@opentelemetry/sdk-trace') return next(specifier, context);
      throw Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' });
    },
  });
  t.teardown(() => hooks.deregister());
  await t.rejects(openTestTracing('http://127.0.0.1:1'), {
    message:
      'tracing: its packages are not installed: npm install @opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/resources @opentelemetry/otlp-transformer',
  });
});
