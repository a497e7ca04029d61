// Signed heads in a gateway: status, metrics, readiness, and a key that a reload changes.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import t from 'tap';
import { headKeyOf } from '../../src/audit/heads/signed-head.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const keys = [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'P-256' })] as const;
const [first, second] = keys.map(({ privateKey }) => privateKey) as [KeyObject, KeyObject];
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

const auditOf = (onTruncation: 'refuse' | 'continue') => ({
  audit: {
    sinks: [{ type: 'file', path: 'audit.jsonl', fsync: 'never' }],
    sign: { keyFile: 'audit.pem', stateFile: 'audit.head', onTruncation },
  },
});

t.test(
  'audit_truncated with refuse: not ready, requests are served; with continue: ready, the heads are shown',
  async (t) => {
    const files = { 'audit.pem': pem(first), 'audit.head': 'no heads' };
    const scenario = await startScenario(t, auditOf('refuse'), { files, inject: true });
    t.match(await scenario.readiness(), {
      status: 503,
      text: /- audit: audit_truncated: .*audit\.head cannot be read/,
    });
    t.equal((await scenario.agent.call('list_dashboards')).status, 200);
    const config = await scenario.record(({ reason }) => reason === 'audit_truncated');
    t.match(config, { stage: 'config', detail: { problem: /it is no state file of audit\.sign/ } });
    t.equal(await scenario.metric('portcullis_audit_truncations_total'), 1);

    const ofFirst = await scenario.record(({ stage }) => stage === 'head');
    t.match(ofFirst.detail, { key: headKeyOf(first).id });
    await scenario.write('audit.pem', pem(second));
    await scenario.reload(auditOf('continue'));
    t.equal((await scenario.readiness()).status, 200);
    const ofSecond = await scenario.record(({ stage, seq }) => stage === 'head' && seq > ofFirst.seq);
    t.match(ofSecond.detail, { key: headKeyOf(second).id });
    await until(async () => (await scenario.metrics()).includes(`,seq="${ofSecond.seq - 1}",`));
    const metrics = await scenario.metrics();
    t.strictSame(
      metrics.split('\n').filter((line) => line.startsWith('portcullis_audit_head_info')),
      [
        `portcullis_audit_head_info{instance="${ofSecond.instance}",seq="${ofSecond.seq - 1}",hash="${ofSecond.prev}"} 1`,
      ],
    );
    t.equal(await scenario.metric('portcullis_audit_head_timestamp_seconds'), Date.parse(ofSecond.time) / 1000);
    t.match((await (await scenario.admin('/status')).json()) as object, {
      auditHeads: [{ seq: ofSecond.seq - 1, hash: ofSecond.prev, key: headKeyOf(second).id }],
    });
  },
);

t.test('a key that cannot sign heads is refused with its place', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const scenario = await startScenario(t, {}, { inject: true });
  for (const [content, problem] of [
    [pem(rsa), /audit\.sign\.keyFile: holds neither an Ed25519 nor a P-256 key/],
    ['nothing', /audit\.sign\.keyFile: the file holds no PEM private key/],
  ] as const) {
    await scenario.write('audit.pem', content);
    await scenario.reload(auditOf('continue'));
    const refused = await scenario.record(({ detail }) => problem.test(String(detail?.problem)));
    t.match(refused.detail, { event: 'reload refused' });
  }
});
