// The schema of the `audit` section.
import * as z from 'zod';
import { filePath, timeout, writtenFilePath } from '../config/schema/values.ts';
import { sinkTypes } from './sinks/sink-types.ts';

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
  sign: z
    .strictObject({
      keyFile: filePath.describe('PEM file with the private key, Ed25519 or P-256.'),
      every: timeout.prefault('60s').describe('The time between two heads of a chain that grows.'),
      stateFile: writtenFilePath
        .optional()
        .describe('Keeps the last heads; should lie where those who can write the audit files cannot.'),
      onTruncation: z
        .enum(['continue', 'refuse'])
        .default('continue')
        .describe('Whether the gateway turns ready when an audit file ends before its head in stateFile.'),
    })
    .optional()
    .describe('Signed heads of the hash chains.'),
});

export type AuditConfig = z.output<typeof audit>;
