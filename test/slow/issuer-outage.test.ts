// Outages of an issuer through the running gateway: who is served, who is refused, and recovery.
import { generateKeyPairSync } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import t, { type Test } from 'tap';
import { type Attack, assertRefused, attack, host, post } from '../support/attack.ts';
import { untrustedTls } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import type { Configuration } from '../support/configuration.ts';
import {
  createFakeIssuer,
  createSigningKey,
  type FakeIssuer,
  type IssuerFault,
  type SigningKey,
  type TokenOptions,
} from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import { createTimeline } from '../support/timeline.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const cooldown = 10 * second;
const call = toolCall('list_dashboards');
const http = { method: 'POST', path: '/mcp' };

interface IssuerTrouble {
  readonly fault?: IssuerFault;
  readonly faulty?: FakeIssuer['faulty'];
  readonly published?: readonly unknown[];
  readonly tls?: TlsOptions;
}

async function begin(t: Test, corp: Configuration = {}, { fault, faulty, published, tls }: IssuerTrouble = {}) {
  const timeline = createTimeline();
  const { now, schedule } = timeline;
  const issuer = await createFakeIssuer(tls === undefined ? {} : { tls });
  t.teardown(issuer.close);
  issuer.fault = fault;
  if (faulty !== undefined) issuer.faulty = faulty;
  if (published !== undefined) issuer.publish(published);
  // On a machine that is busy with other things a record may take its time.
  const changes = { authenticators: { corp }, audit: { timeout: '60s' } };
  const scenario = await startScenario(t, changes, { now, schedule, issuer });
  const withToken = async (options: Pick<TokenOptions, 'key'> = {}): Promise<Attack> => {
    const token = await issuer.token({}, { now: now(), ...options });
    return attack(scenario, post(call, [host, `Authorization: Bearer ${token}`]));
  };
  return {
    ...scenario,
    timeline,
    withToken,
    /** A flood of tokens of keys that nobody has. */
    flood: async () => {
      const stranger = createSigningKey('ES256');
      const answers: Attack[] = [];
      for (let count = 0; count < 5; count++) {
        const key: SigningKey = { ...stranger, kid: `made-up-${timeline.fired()}-${count}` };
        answers.push(await withToken({ key }));
      }
      return answers;
    },
    asked: () => issuer.requests.metadata + issuer.requests.keys,
  };
}

t.test(
  'a day without the issuer: known keys serve, unknown ones are refused at once, nothing storms, and all is well again in seconds',
  async (t) => {
    const scenario = await begin(t);
    const { issuer, timeline } = scenario;
    t.equal((await scenario.withToken()).answer.status, 200);
    t.equal((await scenario.readiness()).status, 200);
    await timeline.pass(5 * second);
    issuer.fault = 'error';
    const before = scenario.asked();
    for (let passed = hour; passed < day; passed += hour) {
      await timeline.pass(hour);
      const asked = scenario.asked();
      const served = await scenario.withToken();
      t.equal(served.answer.status, 200, `${passed / hour} h: a known key`);
      for (const refused of await scenario.flood()) {
        assertRefused(t, `${passed / hour} h: an unknown key`, refused, { status: 401, code: 'invalid_token', http });
      }
      t.equal(scenario.asked(), asked, 'and nobody asked the issuer for that');
    }
    t.equal((await scenario.readiness()).status, 200);
    await timeline.pass(hour - 10 * second);
    t.equal((await scenario.withToken()).answer.status, 200, 'to the end of the day');
    const attempts = await scenario.metric('portcullis_key_set_refresh_failures_total');
    t.ok(attempts <= day / cooldown, `${attempts} attempts`);
    t.equal(scenario.asked() - before, 2 * attempts, 'of two questions each');
    await timeline.pass(10 * second);
    issuer.fault = undefined;
    issuer.rotate();
    await timeline.pass(cooldown);
    t.equal((await scenario.withToken()).answer.status, 200, 'a new key, ten seconds after the issuer is back');
    t.equal((await scenario.readiness()).status, 200);
  },
);

t.test('keys that are too old serve nobody: 503 and never 401, until the issuer is back', async (t) => {
  const scenario = await begin(t, { keySet: { refresh: '10m', maxStale: '1h' } });
  const { issuer, timeline } = scenario;
  t.equal((await scenario.withToken()).answer.status, 200);
  issuer.fault = 'down';
  await timeline.pass(hour);
  t.equal((await scenario.withToken()).answer.status, 200, 'to the last moment');
  t.equal(await scenario.metric('portcullis_key_set_age_seconds'), 3600);
  await timeline.pass(5 * second);
  const asked = scenario.asked();
  for (const refused of [await scenario.withToken(), ...(await scenario.flood())]) {
    assertRefused(t, 'any token', refused, { status: 503, code: 'idp_unavailable', http });
    t.equal(refused.answer.headers['retry-after'], '10');
  }
  t.equal(scenario.asked(), asked);
  t.equal((await scenario.readiness()).status, 503);
  t.equal((await attack(scenario, post(call))).answer.status, 200, 'keys of API clients need no issuer');
  issuer.fault = undefined;
  await timeline.pass(cooldown);
  t.equal((await scenario.withToken()).answer.status, 200);
  t.equal((await scenario.readiness()).status, 200);
});

const faults: readonly IssuerFault[] = [
  'down',
  'error',
  'not-found',
  'slow',
  'drip',
  'huge',
  'endless',
  'encoded',
  'redirect',
  'garbage',
  'no-object',
  'empty',
  'wrong-issuer',
];

t.test(
  'a start with an issuer whose metadata or keys are bad: not ready, 503, and well in seconds once they are good',
  async (t) => {
    const start = async (part: 'metadata' | 'keys', fault: IssuerFault) => {
      const name = `${part} ${fault}`;
      const scenario = await begin(t, {}, { fault, faulty: [part] });
      const { issuer, timeline } = scenario;
      const refused = await scenario.withToken();
      assertRefused(t, name, refused, { status: 503, code: 'idp_unavailable', http });
      t.equal(refused.answer.headers['retry-after'], '10', name);
      t.notMatch(refused.conversation.text, /127\.0\.0\.1|jwks/, `${name}: nothing of it is told`);
      t.equal((await scenario.readiness()).status, 503, name);
      t.equal(await scenario.metric('portcullis_key_set_refresh_failures_total'), 1, name);
      t.strictSame(issuer.requests.others, [], `${name}: no redirect was followed`);
      issuer.fault = undefined;
      await timeline.pass(cooldown);
      t.equal((await scenario.withToken()).answer.status, 200, `${name}: recovered`);
      t.equal((await scenario.readiness()).status, 200, name);
    };
    const ofKeys = faults.filter((fault) => fault !== 'wrong-issuer');
    await Promise.all([
      ...faults.map((fault) => start('metadata', fault)),
      ...ofKeys.map((fault) => start('keys', fault)),
    ]);
  },
);

t.test('keys that are too weak, or an issuer whose TLS nobody trusts, are as good as none', async (t) => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const weak = { ...publicKey.export({ format: 'jwk' }), kid: 'weak', use: 'sig', alg: 'RS256' };
  const symmetric = { kty: 'oct', k: 'c2VjcmV0', kid: 'shared', alg: 'HS256' };
  const tls = await untrustedTls();
  const scenarios = {
    'weak keys': await begin(t, {}, { published: [weak, symmetric] }),
    'untrusted TLS': await begin(t, {}, { tls }),
  };
  for (const [name, scenario] of Object.entries(scenarios)) {
    assertRefused(t, name, await scenario.withToken(), { status: 503, code: 'idp_unavailable', http });
    t.equal((await scenario.readiness()).status, 503, name);
    t.equal(await scenario.metric('portcullis_key_set_refresh_failures_total'), 1, name);
  }
  t.equal(scenarios['untrusted TLS'].asked(), 0, 'nothing was asked over it');
});
