// Full collections of a process of Node, read from the output of `--trace-gc`.

export interface FullCollections {
  count: number;
  /** Called as one has ended, with the megabytes of the heap that are in use behind it. */
  onFullCollection: (heapMegabytes: number) => void;
  /** For the pieces of the output. */
  readonly onOutput: (text: string) => void;
}

export function countFullCollections(): FullCollections {
  let rest = '';
  const collections: FullCollections = {
    count: 0,
    onFullCollection: () => {},
    onOutput(text) {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const heap = /ms: Mark-Compact .*?-> ([\d.]+) \(/.exec(line)?.[1];
        if (heap === undefined) continue;
        collections.count++;
        collections.onFullCollection(Number(heap));
      }
    },
  };
  return collections;
}
