// Preparation of each test process, loaded before tap and the test file.
import async_hooks from 'node:async_hooks';
import { enableCompileCache, syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

/** It saves a quarter to a half of the time of a short file. */
const directory = join(import.meta.dirname, '../../node_modules/.cache/node');
enableCompileCache(directory);
process.env.NODE_COMPILE_CACHE = directory;
// A process that a test starts is the command as a user starts it, without the modules that tap puts before each file.
delete process.env.NODE_OPTIONS;

// tap watches each promise, to know the test of a rejection that nobody handles: up to a sixth of the CPU time of a file. It fails the file without that.
const { createHook } = async_hooks;
async_hooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });
syncBuiltinESMExports();
