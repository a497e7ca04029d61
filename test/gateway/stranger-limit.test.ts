// The limit of strangers by address: its rate, its bytes, its sums, and how many addresses it knows. The clock is an argument.
import t from 'tap';
import type { AuditEvent } from '../../src/audit/event.ts';
import { createStrangerLimit } from '../../src/gateway/request/stranger-limit.ts';

const startMs = Date.UTC(2026, 10, 23, 5, 45);

function limitOf(count: number, perMs = 1000) {
  const written: AuditEvent[] = [];
  const state = { nowMs: startMs, summed: 0, healthy: true, written };
  const limit = createStrangerLimit({
    audit: {
      healthy: () => state.healthy,
      write: async (event, priority) => {
        if (priority === 'stranger') written.push(event);
      },
    },
    log: { error: () => {} },
    now: () => state.nowMs,
    observe: {
      refusalSummed: () => {
        state.summed += 1;
      },
    },
    snapshot: () => ({ hash: 'p1', config: { server: { limits: { refusalsPerAddress: { count, perMs } } } } }) as never,
  });
  const allowed = (address: string, times = 1, code = 'invalid_token', status: number | undefined = 401): number => {
    let passed = 0;
    for (let index = 0; index < times; index += 1)
      if (limit.allow({ key: address, outcome: 'refused', code, status })) passed += 1;
    return passed;
  };
  return { allowed, limit, state };
}

t.test('20 a second of one address pass, the others are one record with their number, time and codes', async (t) => {
  const { allowed, limit, state } = limitOf(20);
  t.equal(allowed('10.0.0.1', 50), 20);
  t.equal(allowed('10.0.0.2', 20), 20, 'another address has its own');
  state.nowMs += 100;
  t.equal(allowed('10.0.0.1', 10, 'not_found'), 2, 'two more after a tenth of a second');
  limit.flush();
  t.match(state.written, [
    {
      time: startMs + 100,
      stage: 'completed',
      client: { address: '10.0.0.1' },
      decision: 'deny',
      reason: 'rate_limited',
      status: 429,
      outcome: 'refused',
      detail: {
        summed: {
          requests: 38,
          first: '2026-11-23T05:45:00.000Z',
          last: '2026-11-23T05:45:00.100Z',
          codes: { invalid_token: 30, not_found: 8 },
        },
      },
      policy: 'p1',
    },
  ]);
  t.equal(state.summed, 38);
  limit.flush();
  t.equal(state.written.length, 1, 'and nothing more once that is told');
  state.nowMs += 1000;
  t.equal(allowed('10.0.0.1', 50), 20, 'a second later it is as at first');
});

t.test('a sum says what was answered: 429, or the status and code of a failure of ours', async (t) => {
  const { allowed, limit, state } = limitOf(1);
  allowed('10.0.0.1', 4, 'idp_unavailable', 503);
  allowed('10.0.0.1', 2, 'invalid_token', 401);
  allowed('10.0.0.1', 2, 'bad_path', 400);
  limit.flush();
  t.match(state.written, [
    {
      reason: 'idp_unavailable',
      status: 503,
      outcome: 'refused',
      decision: 'deny',
      detail: { summed: { requests: 3, codes: { idp_unavailable: 3 } } },
    },
    {
      reason: 'rate_limited',
      status: 429,
      detail: { summed: { requests: 4, codes: { invalid_token: 2, bad_path: 2 } } },
    },
  ]);
});

t.test('while the audit log fails the sums go on, and are written when it works, or at the end', async (t) => {
  const { allowed, limit, state } = limitOf(1);
  state.healthy = false;
  for (let second = 0; second < 3; second += 1) {
    allowed('10.0.0.1', 11);
    limit.flush();
    state.nowMs += 1000;
  }
  t.equal(state.written.length, 0);
  state.healthy = true;
  limit.flush();
  t.match(state.written, [{ detail: { summed: { requests: 30 } } }]);
  state.healthy = false;
  allowed('10.0.0.1', 11);
  limit.flush(true);
  t.match(state.written[1], { detail: { summed: { requests: 10 } } });
});

t.test('a rate of minutes, and a clock that is set back', async (t) => {
  const { allowed, state } = limitOf(3, 60_000);
  t.equal(allowed('10.0.0.1', 9), 3);
  state.nowMs += 20_000;
  t.equal(allowed('10.0.0.1', 9), 1);
  state.nowMs -= 3_600_000;
  t.equal(allowed('10.0.0.1', 9), 0);
  state.nowMs += 20_000;
  t.equal(allowed('10.0.0.1', 9), 1, 'time goes on from there');
});

t.test('records that are long count by their bytes: a minute is below a megabyte, sums included', async (t) => {
  const { allowed, limit, state } = limitOf(20);
  const long = { id: 'r', time: 0, stage: 'completed', encodedParts: 'x'.repeat(3000), policy: 'p1' } as const;
  let bytes = 0;
  for (let tick = 0; tick < 60_000; tick += 5) {
    if (allowed('10.0.0.1') === 1) {
      void limit.record('10.0.0.1', long);
      bytes += 640 + 3000;
    }
    if (tick % 1000 === 0) limit.flush();
    state.nowMs += 5;
  }
  limit.flush();
  const sums = state.written.filter(({ detail }) => detail !== undefined);
  t.equal(sums.length, 60);
  bytes += sums.length * 800;
  t.ok(bytes > 700_000 && bytes < 1_000_000, `${bytes} bytes`);
});

t.test('a /64 is one address, and an IPv4 address inside IPv6 is not', async (t) => {
  const { allowed, limit, state } = limitOf(2);
  t.equal(allowed('2001:db8:0:1::1', 2), 2);
  for (const same of ['2001:db8:0:1::2', '2001:DB8::1:9:8:7:6', '2001:db8:0:1:ffff:ffff:ffff:ffff'])
    t.equal(allowed(same), 0, same);
  for (const other of ['2001:db8:0:2::1', '::1', 'fe80::1', '10.0.0.1', 'unix:', '']) t.equal(allowed(other), 1, other);
  limit.flush();
  t.strictSame(
    state.written.map(({ client }) => client?.address),
    ['2001:db8:0:1::/64'],
  );
});

t.test(
  '1,000 addresses have a limit of their own, all others one together, and the quiet ones are forgotten',
  async (t) => {
    const { allowed, limit, state } = limitOf(20);
    let passed = 0;
    for (let index = 0; index < 1000; index += 1) passed += allowed(`10.0.${index >> 8}.${index & 255}`);
    t.equal(passed, 1000);
    passed = 0;
    for (let index = 0; index < 5000; index += 1) passed += allowed(`10.1.${index >> 8}.${index & 255}`);
    t.equal(passed, 20);
    t.equal(allowed('10.0.0.1', 5), 5, 'who was known keeps its own');
    limit.flush();
    t.match(state.written, [{ client: { address: 'others' }, detail: { summed: { requests: 4980 } } }]);
    state.nowMs += 2000;
    limit.flush();
    t.equal(allowed('10.2.0.1', 50), 20, 'there is room again');
  },
);

t.test('calls of a verified caller over a limit are summed by subject, with the principal and the limit', async (t) => {
  const { limit, state } = limitOf(3);
  const principal = { kind: 'oauth', issuer: 'https://idp.example.com/', subject: 'eve', clientId: 'ai_agent_prod' };
  const refused = { key: 'person\nhttps://idp.example.com/\neve', principal, outcome: 'refused', status: 200 } as const;
  for (let call = 0; call < 10; call += 1) limit.allow({ ...refused, code: 'rate_limited', limit: 'sql' });
  for (let call = 0; call < 5; call += 1) limit.allow({ ...refused, code: 'rate_limited', limit: 'exports' });
  t.equal(limit.allow({ ...refused, key: 'another', code: 'rate_limited' }), true, 'another subject has its own');
  limit.flush();
  const sum = {
    principal,
    decision: 'deny',
    reason: 'rate_limited',
    status: 200,
    outcome: 'refused',
    client: undefined,
  };
  t.match(state.written, [
    { ...sum, detail: { limit: 'sql', summed: { requests: 7 } } },
    { ...sum, detail: { limit: 'exports', summed: { requests: 5 } } },
  ]);
  t.equal(state.written.length, 2);
});
