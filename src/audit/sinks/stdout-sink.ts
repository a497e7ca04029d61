// Audit lines on standard output, or another open descriptor, as a chain of its own that begins with the process.
import * as z from 'zod';
import { genesis } from '../hash-chain.ts';
import { createLineWriter } from './line-writer.ts';
import { commonKeys, type LineOutput, type SinkTarget, type SinkType } from './sink-type.ts';

const schema = z.strictObject({
  type: z.literal('stdout').describe('Records on standard output, one a line.'),
  ...commonKeys,
});

export const stdoutSink = {
  schema,
  key: () => 'stdout',
  create: (_config, { stdout, stdoutFd }) => createStdoutTarget(stdout ?? createLocalOutput(stdoutFd)),
} satisfies SinkType<z.output<typeof schema>>;

function createStdoutTarget(output: LineOutput): SinkTarget {
  return {
    prepare: async () => ({ head: await output.prepare(), events: [], rotations: 0 }),
    write: output.write,
    tick: async () => {},
    close: async () => output.close(),
  };
}

function createLocalOutput(fd = 1): LineOutput {
  const writer = createLineWriter(fd);
  let head = genesis;
  return {
    async prepare() {
      await writer.finish();
      return head;
    },
    write: (chained) =>
      writer.write(chained.lines, () => {
        head = chained.head;
      }),
    close: writer.close,
  };
}
