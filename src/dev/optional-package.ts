// Loading of the packages of the demo: only `portcullis dev` needs them, an image leaves them out.

/** Loads a package of the demo. Throws an error of one line that says how to run the demo when it is missing. */
export async function loadOptionalPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Error(`portcullis dev needs ${name}, which this installation leaves out: npx mcp-portcullis dev`, {
        cause: error,
      });
    }
    throw error;
  }
}
