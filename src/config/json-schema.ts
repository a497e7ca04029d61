// The JSON Schema of the configuration file, for editors: what `portcullis schema` prints.
import * as z from 'zod';
import { fileSchema } from './schema/config.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Draft 7, which editors read best. It describes the file as written; the checks across keys are `check`'s. */
export function configJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(fileSchema, {
    io: 'input',
    target: 'draft-7',
    // For ourselves alone.
    override: ({ jsonSchema }) => delete jsonSchema.fileUse,
  });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Portcullis configuration',
    description: 'gateway.yaml of the Portcullis gateway. `portcullis check` says what a schema cannot.',
    ...withoutInvented(schema),
  };
}

/** The bounds of safe integers, which zod adds to every whole number, say nothing to a reader. */
function withoutInvented(value: unknown): Record<string, unknown> {
  return JSON.parse(
    JSON.stringify(value, (key, inner: unknown) =>
      (key === 'maximum' || key === 'minimum') && Math.abs(Number(inner)) === Number.MAX_SAFE_INTEGER
        ? undefined
        : inner,
    ),
  );
}
