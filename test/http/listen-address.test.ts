// Addresses of listeners: what they are bound to, who can reach them, and which two exclude each other.
import t from 'tap';
import { address } from '../../src/config/schema/values.ts';
import { isLocal, isWildcard, parseListenAddress, sharesAddress } from '../../src/http/connection/listen-address.ts';

t.test('host and port, or the path of a socket', (t) => {
  t.same(parseListenAddress('127.0.0.1:8443'), { kind: 'tcp', host: '127.0.0.1', port: 8443 });
  t.same(parseListenAddress('[::1]:0'), { kind: 'tcp', host: '::1', port: 0 });
  t.same(parseListenAddress('gateway:9090'), { kind: 'tcp', host: 'gateway', port: 9090 });
  t.same(parseListenAddress('unix:9090'), { kind: 'tcp', host: 'unix', port: 9090 });
  t.same(parseListenAddress('unix:/run/a:1.sock'), { kind: 'unix', path: '/run/a:1.sock' });
  t.end();
});

t.test('the schema takes these and nothing else', (t) => {
  for (const good of ['0.0.0.0:65535', '[::]:1', 'unix:/a', `unix:/${'a'.repeat(106)}`]) {
    t.equal(address.safeParse(good).success, true, good);
  }
  for (const bad of [
    '8443',
    'unix:',
    'unix:run/a.sock',
    'unix:/with space',
    '127.0.0.1:65536',
    `unix:/${'a'.repeat(107)}`,
  ]) {
    t.equal(address.safeParse(bad).success, false, bad);
  }
  t.end();
});

t.test('loopback addresses and sockets can be reached from this machine only', (t) => {
  for (const local of ['127.0.0.1:1', '127.8.8.8:1', '[::1]:1', 'localhost:1', 'unix:/run/a']) {
    t.equal(isLocal(parseListenAddress(local)), true, local);
  }
  for (const reachable of ['0.0.0.0:1', '[::]:1', '10.0.0.1:1', 'gateway:1', 'unix:1']) {
    t.equal(isLocal(parseListenAddress(reachable)), false, reachable);
  }
  t.end();
});

t.test('two listeners cannot have one address', (t) => {
  const shares = (one: string, other: string) => sharesAddress(parseListenAddress(one), parseListenAddress(other));
  for (const [one, other] of [
    ['127.0.0.1:1', '127.0.0.1:1'],
    ['0.0.0.0:1', '127.0.0.1:1'],
    ['[::1]:1', '[::]:1'],
    ['unix:/a', 'unix:/a'],
  ] as const) {
    t.equal(shares(one, other), true, `${one} ${other}`);
    t.equal(shares(other, one), true, `${other} ${one}`);
  }
  for (const [one, other] of [
    ['127.0.0.1:1', '127.0.0.1:2'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['unix:/a', 'unix:/b'],
    ['unix:/a', '0.0.0.0:1'],
  ] as const) {
    t.equal(shares(one, other), false, `${one} ${other}`);
  }
  t.equal(isWildcard(parseListenAddress('[::]:1')), true);
  t.equal(isWildcard(parseListenAddress('unix:/a')), false);
  t.end();
});
