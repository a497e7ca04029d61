// Packages that only `portcullis dev` needs and that a production installation may leave out.

/** Loads one of them; when it is not installed, throws an error that says in one line how to get it. */
export async function loadOptionalPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Error(`portcullis dev needs the package ${name}, which is not installed: npm install ${name}`, {
        cause: error,
      });
    }
    throw error;
  }
}
