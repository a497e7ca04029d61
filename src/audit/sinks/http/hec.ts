// Format of the Splunk HTTP Event Collector: concatenated events, and answers with a code of its own.
import { DeliveryFailure, type FailureKind } from '../delivery/transport.ts';
import type { Format, RecordLine } from './format.ts';

/** Codes about the events themselves: no data, invalid format, missing or blank event, indexed fields. */
const aboutEvents = new Set([5, 6, 12, 13, 15]);

/** The record is the event, as its text; `hash` and `seq` are indexed fields. */
export const hec: Format = {
  mediaType: 'application/json',
  encode: (lines) => lines.map((line) => `${eventOf(line)}\n`),
  headers: (_lines, channel) => ({ 'x-splunk-request-channel': channel }),
  judge({ status, body }) {
    const code = codeIn(body);
    const isSuccess = status >= 200 && status < 300;
    if (isSuccess && code === 0) return true;
    if (isSuccess && code === undefined) {
      throw new DeliveryFailure('again', `answered ${status}, but as no event collector does; look at the path of url`);
    }
    if (code === undefined || (!isSuccess && status !== 400)) return false;
    const kind: FailureKind = aboutEvents.has(code) ? 'refused' : 'again';
    throw new DeliveryFailure(kind, `answered ${status} with code ${code}`);
  },
};

function eventOf({ hash, record, text }: RecordLine): string {
  const { instance, seq, time: instant } = record();
  const time = instant === null ? '' : `"time":${(Date.parse(instant) / 1000).toFixed(3)},`;
  const meta = `"host":${JSON.stringify(instance)},"source":"portcullis","sourcetype":"portcullis:audit"`;
  return `{${time}${meta},"event":${text},"fields":{"hash":"${hash}","seq":${seq}}}`;
}

function codeIn(body: Buffer): number | undefined {
  try {
    const { code } = JSON.parse(body.toString());
    return typeof code === 'number' ? code : undefined;
  } catch {
    return undefined;
  }
}
