// Command `portcullis schema`: JSON Schema of the configuration file, for editors.
import { Command } from 'commander';
import { configJsonSchema } from '../config/json-schema.ts';
import type { CommandOutput } from './output.ts';

/** Prints the JSON Schema, the content of gateway.schema.json. */
export function schemaCommand(output: CommandOutput = process): Command {
  return new Command('schema').action(() => {
    output.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  });
}
