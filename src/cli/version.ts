// Version of the package.
import manifest from 'mcp-portcullis/package.json' with { type: 'json' };

/** The version of the package that this file belongs to. */
export function packageVersion(): string {
  return manifest.version;
}
