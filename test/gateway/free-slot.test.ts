// Free slot: a generation that starts while another one drains writes to files of its own.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { SinkConfig } from '../../src/audit/sinks/sink-types.ts';
import { type Slot, withSlot } from '../../src/config/slot.ts';
import { startInFreeSlot } from '../../src/gateway/listeners/free-slot.ts';
import { configOf, fileSink, openLog } from '../audit/support.ts';
import { loadText } from '../config/support.ts';

const yaml = `version: 1
server: {listen: 127.0.0.1:8443, publicUrl: http://127.0.0.1:8443}
authenticators: {corp: {type: jwt, issuer: https://idp.example.com/}}
upstreams: {superset: {url: http://127.0.0.1:5008}}
routes: [{path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset}}]
audit:
  sinks:
    - {type: stdout}
    - {type: syslog, address: 'tcp://127.0.0.1:1', required: false, spool: {path: spool, bytes: 1MiB}}
    - {type: file, path: audit.jsonl}
  sign: {keyFile: sign.pem, stateFile: audit.head}
`;
const key =
  '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n';

t.test('files, spools and state files are those of the slot', async (t) => {
  const loaded = await loadText(t.testdir({}), yaml, { files: { 'sign.pem': key } });
  const pathsOf = (slot: Slot | undefined) => {
    const { sign, sinks } = withSlot(loaded, slot).config.audit;
    const own = sinks.map((sink) => ('path' in sink ? sink.path : 'spool' in sink ? sink.spool?.path : undefined));
    return [...own, sign?.stateFile].map((path) => path?.replace(/.*\//, ''));
  };
  t.same(pathsOf(undefined), [undefined, 'spool', 'audit.jsonl', 'audit.head']);
  t.same(pathsOf({ number: 2, of: 1 }), [undefined, 'spool.2', 'audit.2.jsonl', 'audit.2.head']);
});

t.test(
  'a generation takes the first slot whose files nobody has, and gives way to its successor when it ends',
  async (t) => {
    const directory = t.testdir({});
    const start = (number: number, sink: SinkConfig, mustHold = true) =>
      openLog(configOf([sink]), { mustHold }).then((log) => ({ log, number }));
    const startOwn = (slot: Slot = { number: 1, of: 2 }) =>
      start(slot.number, fileSink(join(directory, `audit.${slot.number}.jsonl`)));
    const first = await startInFreeSlot({ number: 1, of: 2 }, startOwn);
    const second = await startInFreeSlot({ number: 1, of: 2 }, startOwn);
    t.same([first.number, second.number], [1, 3], 'the second of two workers is 2');
    await first.log.close();
    const third = await startInFreeSlot({ number: 1, of: 2 }, startOwn);
    t.equal(third.number, 1);
    const optional = fileSink(join(directory, 'audit.1.jsonl'), { required: false });
    await t.rejects(start(1, optional), /is being written by process/, 'a sink that is not required is held to it');
    await (await start(1, optional, false)).log.close();
    await Promise.all([second, third].map(({ log }) => log.close()));
  },
);

t.test('another failure ends the start', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  mkdirSync(path);
  let tries = 0;
  await t.rejects(
    startInFreeSlot(undefined, async () => {
      tries += 1;
      return openLog(configOf([fileSink(path)]));
    }),
    /is not a regular file/,
  );
  t.equal(tries, 1);
});
