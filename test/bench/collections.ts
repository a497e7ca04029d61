// Full collections of a process of Node, read from the output of `--trace-gc`.

export interface FullCollections {
  count: number;
  /** Called as one has ended. */
  onFullCollection: () => void;
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
        if (!line.includes('ms: Mark-Compact ')) continue;
        collections.count++;
        collections.onFullCollection();
      }
    },
  };
  return collections;
}
