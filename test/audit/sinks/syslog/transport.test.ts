// The syslog transport over real sockets: what a flush proves, what is sent again after a break, and whom TLS trusts.
import { createSecureContext } from 'node:tls';
import t, { type Test } from 'tap';
import { createEventEncoder } from '../../../../src/audit/encode.ts';
import { chainLines, genesis } from '../../../../src/audit/hash-chain.ts';
import { createMessageEncoder } from '../../../../src/audit/sinks/syslog/message.ts';
import { createSyslogTransport } from '../../../../src/audit/sinks/syslog/transport.ts';
import { createCertificateAuthority } from '../../../../src/pki/authority.ts';
import { until } from '../../../support/until.ts';
import { eventOf } from '../../support.ts';
import { seqsOf, startReceiver } from './receiver.ts';

const encodeEvent = createEventEncoder('gw-1');
const encode = createMessageEncoder({ facility: 13, format: 'json', hostname: 'host', version: '1' });
const { signal } = new AbortController();

const lines = (() => {
  const bodies = Array.from({ length: 20 }, (_, index) => encodeEvent(eventOf(`r${index}`)));
  const text = chainLines(genesis, bodies).lines.toString();
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => Buffer.from(line));
})();

const plain = { host: '127.0.0.1', context: undefined, timeoutMs: 5000 };

async function open(t: Test, more: { readonly timeoutMs?: number } = {}) {
  const receiver = await startReceiver();
  const transport = createSyslogTransport({ ...plain, port: receiver.port(), ...more }, encode);
  t.teardown(async () => {
    await transport.close();
    await receiver.kill().catch(() => {});
  });
  return {
    receiver,
    send: (from: number, to: number) => transport.send(lines.slice(from, to), signal),
    flush: () => transport.flush!(signal),
  };
}

t.test('a flush resolves once the receiver has read everything and takes connections, and not before', async (t) => {
  const { receiver, send, flush } = await open(t);
  receiver.pause();
  await send(0, 3);
  await send(3, 5);
  let isFlushed = false;
  const flushed = flush().then(() => {
    isFlushed = true;
  });
  await until(() => receiver.connections() === 1, 'a connection');
  t.notOk(isFlushed);
  t.strictSame(receiver.messages, []);
  receiver.resume();
  await flushed;
  t.strictSame(seqsOf(receiver.messages), [1, 2, 3, 4, 5]);
  t.equal(receiver.finished(), 1);
  await until(() => receiver.connections() === 2, 'the next connection');
  await flush();
  t.equal(receiver.connections(), 2, 'without a new message there is nothing to prove');
});

t.test(
  'a receiver killed with unread bytes fails the flush; what it confirmed last comes again with the rest',
  async (t) => {
    const { receiver, send, flush } = await open(t);
    await send(0, 2);
    await flush();
    receiver.pause();
    await send(2, 4);
    const flushed = flush();
    await until(() => receiver.connections() === 2, 'the second connection');
    await receiver.kill();
    await t.rejects(flushed);
    await t.rejects(send(2, 4), { code: 'ECONNREFUSED' });
    receiver.resume();
    await receiver.start();
    await send(2, 4);
    await flush();
    t.strictSame(seqsOf(receiver.messages), [1, 2, 1, 2, 3, 4]);
  },
);

t.test('a receiver that has read everything and is gone before the next connection confirms nothing', async (t) => {
  const { receiver, send, flush } = await open(t);
  await send(0, 2);
  await until(() => receiver.messages.length === 2, 'the messages');
  const rejected = t.rejects(flush());
  await receiver.kill();
  await rejected;
});

t.test('a connection that the receiver ends with unconfirmed messages fails the next call, once', async (t) => {
  const { receiver, send, flush } = await open(t);
  await send(0, 2);
  await until(() => receiver.messages.length === 2, 'the messages');
  receiver.end();
  await until(() => receiver.finished() === 1, 'the end of the connection');
  await t.rejects(flush(), { message: 'the receiver has ended the connection' });
  await send(0, 2);
  await flush();
  t.strictSame(seqsOf(receiver.messages), [1, 2, 1, 2]);
});

t.test('an idle connection that the receiver ends is replaced; what was confirmed last comes again', async (t) => {
  const { receiver, send, flush } = await open(t);
  await send(0, 1);
  await flush();
  await send(1, 2);
  await flush();
  await until(() => receiver.connections() === 3, 'the idle connection');
  receiver.end();
  await until(() => receiver.finished() === 3, 'its end');
  await send(2, 3);
  await flush();
  t.strictSame(seqsOf(receiver.messages), [1, 2, 2, 3]);
});

t.test('a receiver that does not read is given up in time', async (t) => {
  const { receiver, send, flush } = await open(t, { timeoutMs: 100 });
  receiver.pause();
  const isSent = () =>
    send(0, 1).then(
      () => true,
      () => false,
    );
  await until(isSent, 'a message that the system takes');
  await t.rejects(flush(), { message: /no answer within 100 ms/ });
});

t.test('over TLS the receiver is verified, and shows itself only to a client with a certificate', async (t) => {
  const [authority, stranger] = await Promise.all([createCertificateAuthority(), createCertificateAuthority()]);
  const [server, client, other] = await Promise.all([
    authority.issue({ commonName: 'siem', ips: ['127.0.0.1'], server: true }),
    authority.issue({ commonName: 'gateway' }),
    authority.issue({ commonName: 'siem', dnsNames: ['siem.example.com'], server: true }),
  ]);
  const options = { ca: authority.certificatePem, requestCert: true };
  const receiver = await startReceiver({ ...options, cert: server.certificatePem, key: server.keyPem });
  const misnamed = await startReceiver({ ...options, cert: other.certificatePem, key: other.keyPem });
  t.teardown(() => Promise.all([receiver.kill(), misnamed.kill()]));
  const transportTo = (port: number, ca: string, { certificatePem, keyPem } = client) => {
    const context = createSecureContext({ ca, cert: certificatePem, key: keyPem });
    const transport = createSyslogTransport({ ...plain, context, port }, encode);
    t.teardown(() => transport.close());
    return transport;
  };
  const good = transportTo(receiver.port(), authority.certificatePem);
  await good.send(lines.slice(0, 5), signal);
  await good.flush!(signal);
  await good.send(lines.slice(5, 9), signal);
  await good.flush!(signal);
  t.strictSame(seqsOf(receiver.messages), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const untrusting = transportTo(receiver.port(), stranger.certificatePem);
  await t.rejects(untrusting.send(lines, signal), { message: /certificate/ });
  await t.rejects(transportTo(misnamed.port(), authority.certificatePem).send(lines, signal), { message: /altnames/ });
  t.equal(receiver.messages.length, 9);
  t.strictSame(misnamed.messages, []);
});
