// Syslog messages of audit records (RFC 5424), framed by octet counting (RFC 5425 §4.3, RFC 6587 §3.4.1). Pure.
import type { MappedRecord } from '../http/format.ts';
import { severityOf } from '../severity.ts';
import { encodeCef } from './cef.ts';

/** Options of `createMessageEncoder`. */
export interface MessageOptions {
  /** RFC 5424 §6.2.1. */
  readonly facility: number;
  readonly format: 'json' | 'cef';
  readonly hostname: string;
  /** Of this package. */
  readonly version: string;
}

/** Makes framed messages of lines, in `scratch` where it is large enough. */
export type MessageEncoder = (lines: readonly Buffer[], scratch: Buffer) => Buffer;

/** RFC 5424 §6.2.3: a year has four digits. */
const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** RFC 5424 §7.3.1. */
const maxSequenceId = 2_147_483_647;

/**
 * An encoder of lines, given without their newlines, as framed messages. With the format `json` a message is the line, byte for byte, so that its
 * hash can be verified. No byte order mark precedes it: RFC 8259 §8.1 forbids that of JSON, and RFC 5424 §6.4 allows any octets.
 */
export function createMessageEncoder(options: MessageOptions): MessageEncoder {
  const { facility, format, version } = options;
  const hostname = headerField(options.hostname, 255);

  function headerOf(record: MappedRecord): string {
    const priority = facility * 8 + severityOf(record).syslog;
    const time = record.time !== null && timestamp.test(record.time) ? record.time : '-';
    const process = headerField(record.instance, 128);
    return `<${priority}>1 ${time} ${hostname} portcullis ${process} ${headerField(record.stage, 32)} ${structuredData(record)} `;
  }

  return (lines, scratch) => {
    const frames = lines.map((line) => {
      const record = JSON.parse(line.toString()) as MappedRecord;
      const header = headerOf(record);
      const message = format === 'json' ? line : Buffer.from(encodeCef(record, version));
      return { start: `${header.length + message.length} ${header}`, message };
    });
    const length = frames.reduce((sum, { start, message }) => sum + start.length + message.length, 0);
    const bytes = length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
    let at = 0;
    for (const { start, message } of frames) {
      at += bytes.write(start, at, 'latin1');
      at += message.copy(bytes, at);
    }
    return bytes;
  };
}

/** The place of the record, and its hash, by which a receiver knows a record that was sent twice. 32473 stands for no enterprise (RFC 5612). */
function structuredData({ seq, hash }: MappedRecord): string {
  const sequenceId = String(((seq - 1) % maxSequenceId) + 1);
  return element('meta', { sequenceId }) + element('portcullis@32473', { seq: String(seq), hash });
}

/** RFC 5424 §6.3: an SD-ELEMENT. The values are ASCII. */
export function element(id: string, params: Readonly<Record<string, string>>): string {
  const text = Object.entries(params).map(([name, value]) => ` ${name}="${value.replace(/["\\\]]/g, '\\$&')}"`);
  return `[${id}${text.join('')}]`;
}

/** RFC 5424 §6: printable ASCII without spaces, or the NILVALUE. */
export function headerField(text: string, maxLength: number): string {
  return text.replace(/[^\x21-\x7e]/g, '_').slice(0, maxLength) || '-';
}
