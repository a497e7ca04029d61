// Each audit sink under load, its receiver killed in between: every record arrives, in order, within bounds of memory and disk.
import { test } from 'node:test';
import { httpReceiver, loadSink, type StartReceiver, syslogReceiver } from './sinks.ts';

const isFull = process.env.SCALE_FULL === '1';
const load = isFull ? { records: 1_000_000, kills: 10 } : { records: 20_000, kills: 3 };

const receivers: Readonly<Record<string, StartReceiver>> = {
  'rsyslog over TLS': syslogReceiver('rsyslog', true),
  'rsyslog over TCP': syslogReceiver('rsyslog', false),
  'syslog-ng over TLS': syslogReceiver('syslogNg', true),
  'http, json-lines': httpReceiver('json-lines'),
  'http, hec': httpReceiver('hec'),
  'http, ecs': httpReceiver('ecs'),
  'http, ocsf': httpReceiver('ocsf'),
  otlp: httpReceiver('otlp'),
};

for (const [index, [name, receiver]] of Object.entries(receivers).entries()) {
  // The short form takes turns.
  for (const isRequired of isFull ? [true, false] : [index % 2 === 0]) {
    const kind = isRequired ? 'required' : 'spooled';
    test(`${name}, ${kind}: ${load.records} records arrive in order while the receiver is killed ${load.kills} times`, async (t) => {
      const figures = await loadSink(receiver, { ...load, isRequired });
      t.diagnostic(JSON.stringify(figures));
    });
  }
}
