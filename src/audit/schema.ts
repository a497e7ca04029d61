// The schema of the `audit` section.
import { z } from 'zod';
import { timeout } from '../config/schema/values.ts';
import { sinkTypes } from './sink-types.ts';

type SinkSchema = (typeof sinkTypes)[keyof typeof sinkTypes]['schema'];

export const audit = z.strictObject({
  sinks: z
    .array(
      z.discriminatedUnion(
        'type',
        Object.values(sinkTypes).map(({ schema }) => schema) as [SinkSchema, ...SinkSchema[]],
      ),
    )
    .min(1)
    .describe('Where records go.'),
  timeout: timeout.prefault('2s').describe('A sink that takes longer has failed.'),
  onFailure: z
    .enum(['refuse', 'continue'])
    .default('refuse')
    .describe('Requests are refused, or go on, while a required sink fails.'),
});

export type AuditConfig = z.output<typeof audit>;
