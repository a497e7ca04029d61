// Keys of every sink with a receiver elsewhere, and their checks.
import * as z from 'zod';
import { filePath, positiveSize, writtenFilePath } from '../../../config/schema/values.ts';
import { type CommonSinkConfig, commonKeys, type SinkCheck } from '../sink-type.ts';
import type { SpoolConfig } from './spool.ts';

const minSpoolBytes = 64 * 1024;

/** Keys of every sink with a receiver elsewhere. */
export const deliveryKeys = {
  ...commonKeys,
  caFile: filePath.optional().describe("The authorities of the receiver's certificate. Default: the public ones."),
  insecure: z.boolean().default(false).describe('Accept a connection without TLS beyond loopback.'),
  spool: z
    .strictObject({
      path: writtenFilePath.describe('The folder of the spool, which one process uses.'),
      bytes: positiveSize.describe('How much it holds; beyond it the newest records are lost, and counted.'),
      fsync: z
        .enum(['interval', 'always', 'never'])
        .default('interval')
        .describe(
          'When records are forced to the disk: each second and before they are sent, each record, or by the system.',
        ),
    })
    .optional()
    .describe('Only with `required: false`: where records wait on the disk while the receiver is away.'),
};

/** The configuration of such a sink. */
export interface DeliveryConfig extends CommonSinkConfig {
  readonly caFile?: string | undefined;
  readonly insecure: boolean;
  readonly spool?: SpoolConfig | undefined;
}

/** The key of such a sink: its spool, or its address with the mode, since neither can change while records wait. */
export function deliveryKey({ required, spool }: DeliveryConfig, address: string): string {
  return spool?.path ?? (required ? address : `${address} (not required)`);
}

/** Checks the keys that all such sinks have. */
export function checkDelivery({ required, spool }: DeliveryConfig, { error, isRead }: SinkCheck): void {
  if (spool === undefined) return;
  if (required) error('spool', 'stands with `required: false` only: a required record counts once the receiver has it');
  if (spool.bytes < minSpoolBytes) error('spool', 'holds too little: 64KiB is the least');
  if (isRead(spool.path)) error('spool', 'is a file that this configuration reads; records would destroy it');
}
