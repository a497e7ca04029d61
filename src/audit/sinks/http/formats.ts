// Table of the formats of the http sink, by their name in the configuration.
import { ecs } from './ecs.ts';
import type { Format } from './format.ts';
import { hec } from './hec.ts';
import { ocsf } from './ocsf.ts';

/** Records as they are, one a line. The key of a batch names its first and last record (Idempotency-Key header, IETF draft). */
const jsonLines: Format = {
  mediaType: 'application/x-ndjson',
  encode: (lines) => lines.map(({ text }) => `${text}\n`),
  headers: ([first, ...more]): Readonly<Record<string, string>> =>
    first === undefined ? {} : { 'idempotency-key': `"${first.hash}-${(more.at(-1) ?? first).hash}"` },
};

/** The formats. A new one is a file in this folder and a row here. */
export const formats = { 'json-lines': jsonLines, hec, ecs, ocsf } satisfies Record<string, Format>;

/** The name of a format. */
export type FormatName = keyof typeof formats;
