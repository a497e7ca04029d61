// A stand-in for the process that remembers what a command wrote.
export function capture() {
  let out = '';
  let err = '';
  return {
    stdout: {
      write(text: string) {
        out += text;
      },
    },
    stderr: {
      write(text: string) {
        err += text;
      },
    },
    exitCode: undefined as number | string | null | undefined,
    text: () => out,
    errors: () => err,
  };
}
