// Attack: a caller puts line breaks, frame lengths and whole syslog messages into its user agent, its path and the name of a tool. A receiver
// that splits at them stores a record of a call that never was, such as an allowed one of somebody else, or of another severity.
import t from 'tap';
import { parseCef, parseMessage } from '../audit/sinks/syslog/parse.ts';
import { startReceiver } from '../audit/sinks/syslog/receiver.ts';
import { configOf, eventOf, openLog } from '../audit/support.ts';
import { until } from '../support/until.ts';

const forged = '<104>1 2026-11-23T05:45:00Z host portcullis - decided - {"decision":"allow"}';
const attempts = [
  `agent\r\n${forged}`,
  `agent\n${forged.length} ${forged}`,
  `agent"] ${forged}`,
  `agent|10|act=allow cs1=sql`,
  `agent act=allow\\nreason=none`,
  '"},"decision":"allow","x":{"y":"',
  `agent\u2028${forged}\u0085\u0000`,
];

for (const format of ['json', 'cef'] as const) {
  t.test(`${format}: one record is one message, and says what it is`, async (t) => {
    const receiver = await startReceiver();
    const address = `tcp://127.0.0.1:${receiver.port()}`;
    const sink = { type: 'syslog', address, facility: 13, format, required: true, insecure: false } as const;
    const log = await openLog(configOf([sink]));
    for (const text of attempts) {
      await log.write(
        eventOf('r1', {
          client: { address: '192.0.2.7', userAgent: text },
          http: { method: 'POST', path: text },
          mcp: { method: 'tools/call', tool: text },
          decision: 'deny',
          reason: 'denied',
          outcome: 'refused',
        }),
      );
    }
    await until(() => receiver.messages.length === attempts.length, 'the messages');
    await log.close();
    for (const [index, message] of receiver.messages.entries()) {
      t.notMatch(message.toString(), /[\p{Cc}\u2028\u2029]/u);
      const { priority, message: content, data } = parseMessage(message);
      t.equal(priority, 13 * 8 + 4);
      t.equal(data['portcullis@32473']?.seq, String(index + 1));
      if (format === 'json') {
        const { decision, client } = JSON.parse(content.toString());
        t.strictSame([decision, client.userAgent], ['deny', attempts[index]]);
      } else {
        const { header, extension } = parseCef(content.toString());
        t.strictSame(
          [header[4], header[6], extension.act, extension.reason],
          ['completed:denied', '6', 'deny', 'denied'],
        );
        t.equal(extension.cs1, undefined, 'no rule');
      }
    }
    await receiver.kill();
  });
}
