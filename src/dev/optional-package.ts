// Loading of optional packages: only `portcullis dev` needs them, production may leave them out.

/** Loads an optional package. Throws an error of one line with the install command when it is missing. */
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
