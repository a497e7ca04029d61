// The syslog sink over the delivery engine: what the configuration may say, and records that survive a receiver that is killed.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { SinkConfig } from '../../../../src/audit/sinks/sink-types.ts';
import { createCertificateAuthority } from '../../../../src/pki/authority.ts';
import { fileOf, linesOf as problemsOf } from '../../../config/support.ts';
import { until } from '../../../support/until.ts';
import { configOf, eventOf, openLog } from '../../support.ts';
import { parseMessage } from './parse.ts';
import { type SyslogReceiver, startReceiver } from './receiver.ts';

type SyslogConfig = Extract<SinkConfig, { type: 'syslog' }>;

function sinkTo({ port }: SyslogReceiver, more: Partial<SyslogConfig> = {}): SyslogConfig {
  const common = { required: true, insecure: false, facility: 13, format: 'json' } as const;
  return { type: 'syslog', address: `tcp://127.0.0.1:${port()}`, ...common, ...more };
}

/** Pauses between tries, and those that gather records, are over at once. */
const hasty = {
  async wait(ms: number, signal: AbortSignal) {
    await delay(ms > 1000 ? ms : 0, undefined, { signal, ref: false });
  },
};

/** The records in the order of their first arrival. Throws where two with one number differ, or one comes before its predecessor. */
function recordsOf({ messages }: SyslogReceiver): { seq: number; id: string }[] {
  const hashes: string[] = [];
  const records: { seq: number; id: string }[] = [];
  for (const message of messages) {
    const { message: line, data } = parseMessage(message);
    const record = JSON.parse(line.toString());
    if (data['portcullis@32473']?.hash !== record.hash) throw new Error('the structured data state another hash');
    hashes[record.seq] ??= record.hash;
    if (hashes[record.seq] !== record.hash) throw new Error(`two records ${record.seq}`);
    if (record.seq > records.length + 1) throw new Error(`record ${record.seq} came too early`);
    if (record.seq === records.length + 1) records.push(record);
  }
  return records;
}

t.test('syslog: an address with TLS, or on loopback; never UDP; files that TLS can use', async (t) => {
  const { keyPem, certificatePem } = await (await createCertificateAuthority()).issue({ commonName: 'gateway' });
  const files = { 'a.pem': certificatePem, 'a.key': keyPem, 'text.pem': 'text' };
  const problems = async (sink: string) => {
    const lines = await problemsOf(t.testdir(), fileOf({ audit: `{sinks: [{type: syslog, ${sink}}]}` }), { files });
    return lines.map((line) => line.replace(/gateway\.yaml:\S+ audit\.sinks\[0\]\.?/, ''));
  };
  const form = 'address: expected tls:// or tcp://, a host and a port, such as tls://siem.example.com:6514';
  const cases: [sink: string, ...problems: string[]][] = [
    ['address: "tls://siem:6514"'],
    ['address: "tls://[2001:db8::1]:6514", caFile: a.pem, certFile: a.pem, keyFile: a.key, format: cef, facility: 4'],
    ['address: "tcp://127.0.0.1:601"'],
    ['address: "tcp://[::1]:601"'],
    ['address: "tcp://siem:601", insecure: true'],
    [
      'address: "tcp://siem:601"',
      'address: tcp:// sends records in clear text; take tls://, or write `insecure: true` beside it',
    ],
    [
      'address: "udp://siem:514"',
      'address: syslog over UDP loses records unnoticed and is not supported; take tls://, or tcp:// on loopback',
    ],
    ['address: "siem:514"', form],
    ['address: "tls://siem"', form],
    ['address: "tls://user@siem:6514"', form],
    ['address: "tls://siem:6514/path"', form],
    ['address: "tls://siem:65536"', 'address: a port is at most 65535'],
    ['address: "tcp://127.0.0.1:601", caFile: a.pem', 'caFile: is of TLS, and the address is tcp://'],
    ['address: "tls://siem:6514", certFile: a.pem', 'certFile: needs keyFile beside it'],
    ['address: "tls://siem:6514", keyFile: a.key', 'keyFile: needs certFile beside it'],
    ['address: "tls://siem:6514", caFile: text.pem', 'caFile: the file holds no PEM certificate'],
    ['address: "tls://siem:6514", facility: 24', 'facility: expected at most 23'],
    ['address: "tls://siem:6514", format: leef', 'format: expected one of "json", "cef"'],
  ];
  for (const [sink, ...expected] of cases) t.same(await problems(sink), expected, sink);
});

t.test(
  'a required sink: nothing is lost and nothing out of order while the receiver is killed three times',
  async (t) => {
    const receiver = await startReceiver();
    const log = await openLog(configOf([sinkTo(receiver)]), hasty);
    const ids = Array.from({ length: 400 }, (_, index) => `r${index}`);
    for (const [index, id] of ids.entries()) {
      const written = log.write(eventOf(id));
      if (index % 100 === 50) {
        await receiver.kill();
        await receiver.start();
      }
      await written;
    }
    await log.close();
    t.strictSame(
      recordsOf(receiver).map(({ id }) => id),
      ids,
    );
    await receiver.kill();
  },
);

t.test(
  'a required sink whose receiver hangs: requests are refused in time, and their records stay in order',
  async (t) => {
    const receiver = await startReceiver();
    const log = await openLog(configOf([sinkTo(receiver)], { timeout: 200 }), hasty);
    const isWritten = (id: string) =>
      log.write(eventOf(id)).then(
        () => true,
        () => false,
      );
    await until(() => isWritten('before'), 'a record');
    receiver.pause();
    // What the system takes is written; the proof that it was read does not come.
    await until(async () => !(await isWritten('during')), 'a refusal');
    t.notOk(log.healthy());
    t.match(log.problem(), /no answer within 200 ms/);
    receiver.resume();
    await until(() => isWritten('after'), 'the sink works again');
    await log.close();
    const records = recordsOf(receiver).flatMap(({ id }) => (id.includes('-') ? [] : id));
    t.equal(records[0], 'before');
    t.equal(records.at(-1), 'after');
    await receiver.kill();
  },
);

t.test('a required sink without a receiver does not start', async (t) => {
  const receiver = await startReceiver();
  await receiver.kill();
  const log = await openLog(configOf([sinkTo(receiver)], { timeout: 50 }), hasty);
  await t.rejects(log.write(eventOf('r1')), { code: 'audit_unavailable' });
  t.match(log.deliveries(), [{ type: 'syslog', required: true, problem: /ECONNREFUSED/ }]);
  await log.close();
});

t.test('a spooled sink: what the receiver did not confirm before it was killed comes again, in order', async (t) => {
  const receiver = await startReceiver();
  const spool = { path: join(t.testdir({}), 'spool'), bytes: 2 ** 20, fsync: 'never' } as const;
  const log = await openLog(configOf([sinkTo(receiver, { required: false, spool })]), hasty);
  const isDelivered = () => log.deliveries()[0]?.bytes === 0;
  const write = async (...ids: string[]) => {
    for (const id of ids) await log.write(eventOf(id));
  };
  await write('r1', 'r2');
  await until(() => receiver.messages.length >= 2 && isDelivered(), 'the first records');
  await receiver.kill();
  await write('r3', 'r4');
  await until(() => log.deliveries()[0]?.problem !== undefined, 'a failure');
  await receiver.start();
  await until(isDelivered, 'the other records');
  t.strictSame(
    recordsOf(receiver).map(({ id }) => id),
    ['r1', 'r2', 'r3', 'r4'],
  );
  await log.close();
  await receiver.kill();
});

t.test('a receiver over TLS of an authority that is not trusted gets nothing', async (t) => {
  const authority = await createCertificateAuthority();
  const server = await authority.issue({ commonName: 'siem', ips: ['127.0.0.1'], server: true });
  const receiver = await startReceiver({ cert: server.certificatePem, key: server.keyPem });
  const address = `tls://127.0.0.1:${receiver.port()}`;
  const log = await openLog(configOf([sinkTo(receiver, { address })], { timeout: 50 }), hasty);
  await t.rejects(
    log.write(eventOf('r1')),
    { code: 'audit_unavailable' },
    'a receiver of an unknown authority gets nothing',
  );
  await log.close();
  t.strictSame(receiver.messages, []);
  await receiver.kill();
});
