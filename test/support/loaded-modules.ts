// Modules that a program loads, written at its end to the file of `LOADED_MODULES`. The package named by `BROKEN_PACKAGE` cannot be loaded.
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** What was loaded by the time of the end. */
export interface LoadedModules {
  readonly packages: readonly string[];
  /** Node's own `fetch`. */
  readonly hasFetch: boolean;
}

const { LOADED_MODULES = '', BROKEN_PACKAGE } = process.env;
const packages = new Set<string>();

registerHooks({
  load(url, context, next) {
    const name = packageOf(url);
    if (name !== undefined && name === BROKEN_PACKAGE) throw new Error(`the package ${name} is broken`);
    if (name !== undefined) packages.add(name);
    return next(url, context);
  },
});

process.on('exit', () => {
  const { moduleLoadList } = process as unknown as { moduleLoadList: string[] };
  const hasFetch = moduleLoadList.includes('NativeModule internal/deps/undici/undici');
  writeFileSync(LOADED_MODULES, JSON.stringify({ packages: [...packages], hasFetch } satisfies LoadedModules));
});

function packageOf(url: string): string | undefined {
  return /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
}
